package hostcall

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// plan is what is worked out once for a manifest, an action, the settings of a connector and its grant.
type plan struct {
	action   abi.Action
	guest    json.RawMessage     // the settings without secrets
	settings capability.Settings // the same
	secrets  []secretSetting     // by name
	rights   map[string]granted
	kv       string // id of the capability for kv

	grant                       capability.Grant // that it was worked out for
	settingsDigest, grantDigest string

	mu       sync.Mutex
	redactor *secret.Redactor
	masked   []version // of the secrets that redactor masks
}

// secretSetting is a setting that refers to a secret; nested names are joined by dots.
type secretSetting struct {
	name string
	ref  secret.Ref
}

// held is the secret of a setting, if it could be had.
type held struct {
	secret.Secret
	ok bool
}

// version is held without the secret.
type version struct {
	text string
	ok   bool
}

// granted is a right and what its connections need, or the reason why there is none.
type granted struct {
	right *capability.Right
	tls   *clientTLS
	fault *abi.Fault
}

func newPlan(o SessionOptions, site capability.Network) (*plan, *abi.Fault) {
	action, ok := o.Manifest.Actions[o.Action]
	if !ok {
		return nil, abi.NewFault(abi.NotFound, "plugin "+o.Manifest.Plugin+" has no action "+o.Action, "")
	}
	p := &plan{action: action, rights: map[string]granted{}}
	if fault := p.readSettings(o.Settings, o.Manifest.Settings); fault != nil {
		return nil, fault
	}
	for id := range o.Grant {
		if !slices.ContainsFunc(o.Manifest.Requires, func(r abi.Requirement) bool { return r.ID == id }) {
			return nil, abi.NewFault(abi.Invalid, "the grant names capability "+id+", which the plugin does not ask for", "remove it from the connector")
		}
	}
	for _, asked := range o.Manifest.Requires {
		if _, twice := p.rights[asked.ID]; twice {
			return nil, abi.NewFault(abi.Invalid, "the manifest has two capabilities "+asked.ID, "")
		}
		g, fault := p.right(asked, o, site)
		if fault != nil {
			return nil, fault
		}
		p.rights[asked.ID] = g
		if asked.Kind == "kv" && slices.Contains(action.Uses, asked.ID) {
			p.kv = asked.ID
		}
	}
	return p, nil
}

// right works out one right. A mistake in manifest, settings or grant is the fault of the session; what is merely not granted, not used by
// the action, or lacks an optional setting is refused when the guest asks for it.
func (p *plan) right(asked abi.Requirement, o SessionOptions, site capability.Network) (granted, *abi.Fault) {
	if !slices.Contains(p.action.Uses, asked.ID) {
		return granted{fault: refused(capability.NotAsked, "action "+o.Action+" does not use capability "+asked.ID)}, nil
	}
	if _, ok := o.Grant[asked.ID]; !ok {
		_, err := capability.Effective(asked, o.Grant, site)
		return granted{fault: asFault(err)}, nil
	}
	resolved, err := capability.Resolve(asked, p.settings)
	if err != nil {
		fault := abi.NewFault(abi.Invalid, err.Error(), "complete the connector's settings")
		if errors.Is(err, capability.ErrUnset) {
			fault.Kind = abi.Refused
			return granted{fault: fault}, nil
		}
		return granted{}, fault
	}
	right, err := capability.Effective(resolved, o.Grant, site)
	var refusal *capability.Refusal
	if errors.As(err, &refusal) && refusal.Reason == capability.Denied {
		return granted{fault: refusal.Fault()}, nil
	}
	if err != nil {
		return granted{}, abi.NewFault(abi.Invalid, err.Error(), "correct the manifest, the settings or the grant")
	}
	if fault := p.checkAuth(right.Auth, right.Kind); fault != nil {
		return granted{}, fault
	}
	tls, fault := newClientTLS(right.TLS)
	return granted{right: right, tls: tls}, fault
}

// checkAuth finds mistakes in how a secret travels before a request does.
func (p *plan) checkAuth(auth *abi.Auth, kind string) *abi.Fault {
	if auth == nil {
		return nil
	}
	how, name, _ := strings.Cut(auth.Inject, ":")
	ok := false
	switch how {
	case "bearer":
		ok = kind == "http" && name == ""
	case "basic":
		ok = kind == "http" && (name != "" || auth.User != "")
	case "header":
		ok = kind == "http" && validHeaderName(name) && !hostOwned(http.CanonicalHeaderKey(name))
	case "query", "form":
		ok = kind == "http" && name != ""
	case "json":
		ok = kind == "http" && strings.HasPrefix(name, "/")
	case "password":
		ok = (kind == "sql" || kind == "mail") && name == "" && auth.User != ""
	}
	if !ok {
		return abi.NewFault(abi.Invalid, "auth.inject \""+auth.Inject+"\" is not known for kind "+kind,
			"http: header:NAME, bearer, basic:USERSETTING, query:NAME, form:NAME, json:/POINTER; sql and mail: password, with user naming the setting of the user")
	}
	return nil
}

// readSettings parts the settings into those that the guest may see and references to secrets, and checks those that are required.
func (p *plan) readSettings(raw, schema json.RawMessage) *abi.Fault {
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = json.RawMessage("{}")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil || all == nil {
		return abi.NewFault(abi.Invalid, "the connector's settings are no JSON object", "")
	}
	var shape settingsSchema
	if len(schema) > 0 {
		if err := json.Unmarshal(schema, &shape); err != nil {
			return abi.NewFault(abi.Invalid, "the manifest's schema of settings cannot be read: "+err.Error(), "")
		}
	}
	if fault := p.part(all, shape, ""); fault != nil {
		return fault
	}
	slices.SortFunc(p.secrets, func(a, b secretSetting) int { return strings.Compare(a.name, b.name) })
	p.settings = all
	guest, err := json.Marshal(all)
	if err != nil {
		return abi.NewFault(abi.Internal, err.Error(), "")
	}
	p.guest = guest
	return nil
}

// settingsSchema is the part of a JSON Schema that matters here; package schemas checks the rest.
type settingsSchema struct {
	Format     string                    `json:"format"`
	Default    any                       `json:"default"`
	Required   []string                  `json:"required"`
	Properties map[string]settingsSchema `json:"properties"`
}

// part moves the secrets out of object, and fills in the defaults of what is not set.
func (p *plan) part(object map[string]any, shape settingsSchema, path string) *abi.Fault {
	for _, name := range shape.Required {
		if v, ok := object[name]; !ok || v == nil {
			return &abi.Fault{Kind: abi.Invalid, Message: "the setting " + path + name + " is required", Where: "settings." + path + name,
				Hint: "complete the connector's settings"}
		}
	}
	for name, property := range shape.Properties {
		if _, ok := object[name]; !ok && property.Default != nil && property.Format != "secret" {
			object[name] = property.Default
		}
	}
	for name, v := range object {
		ref, isRef, err := secret.InSetting(v)
		property := shape.Properties[name]
		switch {
		case err != nil || !isRef && property.Format == "secret" && v != nil:
			return &abi.Fault{Kind: abi.Invalid, Message: "the setting " + path + name + " must refer to a secret", Where: "settings." + path + name,
				Hint: `write {"secret": "store:NAME"}, {"secret": "file:/PATH"} or {"secret": "env:NAME"}`}
		case isRef:
			p.secrets = append(p.secrets, secretSetting{path + name, ref})
			delete(object, name)
		default:
			if child, ok := v.(map[string]any); ok {
				if fault := p.part(child, property, path+name+"."); fault != nil {
					return fault
				}
			}
		}
	}
	return nil
}

// redactorFor gives a redactor for the secrets of the settings, made once for each set of versions.
func (p *plan) redactorFor(secrets []held) *secret.Redactor {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.redactor != nil && slices.EqualFunc(secrets, p.masked, func(h held, v version) bool { return h.ok == v.ok && h.Version() == v.text }) {
		return p.redactor
	}
	list := make([]secret.Secret, len(secrets))
	p.masked = p.masked[:0]
	for i, h := range secrets {
		list[i] = h.Secret
		p.masked = append(p.masked, version{h.Version(), h.ok})
	}
	p.redactor = secret.NewRedactor(list...)
	return p.redactor
}

func refused(reason capability.Reason, message string) *abi.Fault {
	return &abi.Fault{Kind: abi.Refused, Message: message, Where: string(reason)}
}

// asFault gives any error as a fault; refusals keep their reason.
func asFault(err error) *abi.Fault {
	var r *capability.Refusal
	if errors.As(err, &r) {
		return r.Fault()
	}
	return abi.AsFault(err)
}
