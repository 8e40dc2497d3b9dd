// Package connector holds configured instances of plugins: address, settings with references to secrets, and the grant. It reads and checks
// them; it opens no connection.
package connector

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
)

// Connector is a configured instance of a plugin.
type Connector struct {
	ID, Plugin, Title string
	// Settings are JSON, with a reference such as {"secret": "env:NAME"} where a secret belongs.
	Settings json.RawMessage
	Grant    capability.Grant
	// Digest is the sha256, in hex, of everything above: an approval binds it.
	Digest string
	File   string
}

// source is a connector's file.
type source struct {
	Connector   *document.Node `yaml:"connector,required"`
	Plugin      *document.Node `yaml:"plugin,required"`
	Title       string         `yaml:"title"`
	Description string         `yaml:"description"`
	Settings    *document.Node `yaml:"settings"`
	// Grant is a list of ids of the plugin's requirements, or a map from id to what narrows it.
	Grant *document.Node `yaml:"grant"`
}

// Load reads a connector and checks it against the manifest of its plugin.
func Load(name string, text []byte, plugins map[string]*bundle.Bundle) (*Connector, document.Problems) {
	root, problems := document.Parse(name, text)
	if problems != nil {
		return nil, problems
	}
	var f source
	if problems = root.Decode(&f); len(problems) > 0 {
		return nil, problems
	}
	c := &Connector{ID: f.Connector.Text(), Plugin: f.Plugin.Text(), Title: f.Title, Settings: json.RawMessage("{}"), File: name}
	if !validID(c.ID) {
		return nil, document.Problems{f.Connector.Problem("a connector's name has lower-case letters, digits, dashes and underscores", "")}
	}
	plugin := plugins[c.Plugin]
	if plugin == nil {
		hint := "riposte plugin ls shows what is installed"
		if near := schemas.Nearest(c.Plugin, slices.Collect(maps.Keys(plugins))); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, document.Problems{f.Plugin.Problem(fmt.Sprintf("plugin %q is not installed", c.Plugin), hint)}
	}
	if f.Settings != nil {
		raw, err := json.Marshal(f.Settings.JSON())
		if err != nil {
			return nil, document.Problems{f.Settings.Problem(err.Error(), "")}
		}
		c.Settings = raw
	}
	if fault := plugin.CheckSettings(c.Settings); fault != nil {
		at := place(root, f.Settings, fault.Where)
		problems = append(problems, at.Problem(fault.Message, fault.Hint))
	}
	grant, more := ReadGrant(f.Grant, plugin.Manifest.Requires)
	problems = append(problems, more...)
	c.Grant = grant
	canonical, err := json.Marshal([]any{c.ID, c.Plugin, c.Title, c.Settings, c.Grant})
	if err != nil {
		problems = append(problems, root.Problem(err.Error(), ""))
	}
	sum := sha256.Sum256(canonical)
	c.Digest = hex.EncodeToString(sum[:])
	return c, problems
}

// ReadGrant reads what the operator gives. What is not asked for cannot be granted.
func ReadGrant(n *document.Node, asked []abi.Requirement) (capability.Grant, document.Problems) {
	grant := capability.Grant{}
	if n == nil {
		return grant, nil
	}
	var problems document.Problems
	ids := make([]string, len(asked))
	for i, r := range asked {
		ids[i] = r.ID
	}
	give := func(at *document.Node, id string, narrowing *document.Node) {
		if !slices.Contains(ids, id) {
			problems = append(problems, at.Problem(fmt.Sprintf("the plugin does not ask for a capability %q", id), "it asks for: "+strings.Join(ids, ", ")))
			return
		}
		var n capability.Narrowing
		if narrowing != nil && narrowing.Kind != document.Null {
			raw, err := json.Marshal(narrowing.JSON())
			if err == nil { // a member that is misspelt would narrow nothing
				d := json.NewDecoder(bytes.NewReader(raw))
				d.DisallowUnknownFields()
				err = d.Decode(&n)
			}
			if err != nil {
				problems = append(problems, narrowing.Problem(err.Error(), "a narrowing has url, methods, hosts, names, types, addresses, statements, recipients, deny, tls …"))
			}
		}
		grant[id] = n
	}
	switch n.Kind {
	case document.List:
		for _, item := range n.Items {
			give(item, item.Text(), nil)
		}
	case document.Map:
		for _, m := range n.Members {
			give(m.Value, m.Key, m.Value)
		}
	default:
		problems = append(problems, n.Problem("a grant is a list of capability ids, or a map from id to what narrows it", "grant: ["+strings.Join(ids, ", ")+"]"))
	}
	return grant, problems
}

// place finds the node that a JSON path such as "settings.base_url" names, or the nearest above it.
func place(root, settings *document.Node, where string) *document.Node {
	at := root
	if settings != nil {
		at = settings
	}
	where = strings.TrimPrefix(strings.TrimPrefix(where, "$"), ".")
	for _, key := range strings.FieldsFunc(strings.TrimPrefix(where, "settings"), func(r rune) bool { return r == '.' || r == '/' }) {
		next := at.Get(key)
		if next == nil {
			break
		}
		at = next
	}
	return at
}

func validID(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Catalog is what runbooks are checked against: the installed plugins and the configured connectors, by name.
type Catalog struct {
	plugins map[string]*bundle.Bundle
	all     map[string]*Connector
}

// NewCatalog makes a catalog of what is there.
func NewCatalog(plugins map[string]*bundle.Bundle, connectors map[string]*Connector) Catalog {
	return Catalog{plugins, connectors}
}

// Action gives an action of an installed plugin with that major version.
func (c Catalog) Action(plugin, action string, major int) (*abi.Action, bool) {
	b := c.plugins[plugin]
	if b == nil {
		return nil, false
	}
	first, _, _ := strings.Cut(b.Manifest.Version, ".")
	spec, ok := b.Manifest.Actions[action]
	return &spec, ok && first == fmt.Sprint(major)
}

// Connectors lists the ids of the connectors of a plugin, sorted.
func (c Catalog) Connectors(plugin string) []string {
	var ids []string
	for id, conn := range c.all {
		if conn.Plugin == plugin {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
