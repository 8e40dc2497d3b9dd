package api

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/runbook"
)

// Plugin is an installed plugin in a list.
type Plugin struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Digest      string   `json:"digest"`
	Size        int      `json:"size" doc:"of the package, in bytes"`
	Actions     []string `json:"actions"`
	Connectors  []string `json:"connectors"`
	Isolated    bool     `json:"isolated" doc:"it runs in a process of its own"`
}

// PluginView is one plugin with its manifest.
type PluginView struct {
	Plugin
	Manifest abi.Manifest `json:"manifest"`
}

// Connector is a connector, with references in place of secrets.
type Connector struct {
	ID       string           `json:"id"`
	Plugin   string           `json:"plugin"`
	Title    string           `json:"title"`
	Settings json.RawMessage  `json:"settings"`
	Grant    capability.Grant `json:"grant"`
	Digest   string           `json:"digest"`
}

// Runbook is a runbook in a list.
type Runbook struct {
	ID      string          `json:"id"`
	Version int             `json:"version"`
	Title   string          `json:"title"`
	Digest  string          `json:"digest"`
	Inputs  []runbook.Input `json:"inputs"`
}

func (s *Server) inventory() {
	c := s.o.Content
	route(s, http.MethodGet, "/plugins", "list-plugins", "List the installed plugins.", "plugins",
		func(context.Context, *struct{}) (*body[[]Plugin], error) {
			list := []Plugin{}
			for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
				list = append(list, s.plugin(name))
			}
			return answer(list, nil)
		})
	route(s, http.MethodGet, "/plugins/{name}", "get-plugin", "One plugin with its manifest: what it can do, and what it asks for.", "plugins",
		func(_ context.Context, in *struct {
			Name string `path:"name"`
		}) (*body[PluginView], error) {
			b := c.Plugins[in.Name]
			if b == nil {
				return nil, problem(&abi.Fault{Kind: abi.NotFound, Message: "there is no plugin " + in.Name, Hint: "riposte plugin ls"})
			}
			return answer(PluginView{s.plugin(in.Name), b.Manifest}, nil)
		})
	route(s, http.MethodGet, "/connectors", "list-connectors", "List the connectors.", "plugins",
		func(context.Context, *struct{}) (*body[[]Connector], error) {
			list := []Connector{}
			for _, id := range slices.Sorted(maps.Keys(c.Connectors)) {
				list = append(list, s.connector(id))
			}
			return answer(list, nil)
		})
	route(s, http.MethodGet, "/connectors/{id}", "get-connector", "One connector.", "plugins",
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[Connector], error) {
			if c.Connectors[in.ID] == nil {
				return nil, problem(&abi.Fault{Kind: abi.NotFound, Message: "there is no connector " + in.ID, Hint: "riposte connector ls"})
			}
			return answer(s.connector(in.ID), nil)
		})
	route(s, http.MethodGet, "/runbooks", "list-runbooks", "List the runbooks.", "runbooks",
		func(context.Context, *struct{}) (*body[[]Runbook], error) {
			list := []Runbook{}
			for _, src := range c.Runbooks {
				b := src.Runbook
				list = append(list, Runbook{b.ID, b.Version, b.Title, b.Digest, b.Inputs})
			}
			slices.SortFunc(list, func(a, b Runbook) int { return cmp.Compare(a.ID, b.ID) })
			return answer(list, nil)
		})
}

func (s *Server) plugin(name string) Plugin {
	b := s.o.Content.Plugins[name]
	p := Plugin{Name: name, Version: b.Manifest.Version, Title: b.Manifest.Title, Description: b.Manifest.Description, Digest: b.Digest, Size: b.Size, Isolated: s.o.Isolated[b.Digest],
		Actions: slices.Sorted(maps.Keys(b.Manifest.Actions)), Connectors: []string{}}
	for _, id := range slices.Sorted(maps.Keys(s.o.Content.Connectors)) {
		if s.o.Content.Connectors[id].Plugin == name {
			p.Connectors = append(p.Connectors, id)
		}
	}
	return p
}

func (s *Server) connector(id string) Connector {
	c := s.o.Content.Connectors[id]
	return Connector{c.ID, c.Plugin, c.Title, c.Settings, c.Grant, c.Digest}
}
