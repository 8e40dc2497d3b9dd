package server

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/document"
)

// Config is riposte.yaml. Relative paths in it are relative to its folder; flags of the command win over it.
type Config struct {
	Listen  string        `yaml:"listen"` // address of API and web pages
	Data    string        `yaml:"data"`   // folder of the store; ours alone
	Cache   string        `yaml:"cache"`  // folder of compiled modules; empty is one of the user's cache
	Syslog  SyslogConfig  `yaml:"syslog"`
	Network NetworkConfig `yaml:"network"`
	Plugins PluginsConfig `yaml:"plugins"`
	Limits  LimitsConfig  `yaml:"limits"`
}

// SyslogConfig says where alarms arrive by syslog; an empty address is not listened on.
type SyslogConfig struct {
	UDP  string `yaml:"udp"`
	TCP  string `yaml:"tcp"`
	TLS  string `yaml:"tls"`
	Cert string `yaml:"cert"` // PEM file for TLS
	Key  string `yaml:"key"`
}

// NetworkConfig is the site's word on where plugins may connect to, whatever was granted.
type NetworkConfig struct {
	Allow     []string `yaml:"allow"` // networks that are refused otherwise, such as 127.0.0.0/8
	Deny      []string `yaml:"deny"`  // networks that are never reached
	DenyHosts []string `yaml:"deny_hosts"`
}

// PluginsConfig names plugins beside the built-in ones.
type PluginsConfig struct {
	Dir      string `yaml:"dir"`      // folder of *.wasm packages; plugins/ in the content, if empty
	Unsigned string `yaml:"unsigned"` // refuse (the default) or allow: packages without a signature by a key of trust.yaml
	// Isolation is auto (the default: what trust.yaml says, and everything unsigned) or process: all plugins run in processes of their own.
	Isolation string `yaml:"isolation"`
}

// UnsignedAllowed says whether packages run without a signature by a trusted key.
func (p *PluginsConfig) UnsignedAllowed() bool { return p.Unsigned == unsignedAllow }

// What PluginsConfig.Unsigned may say.
const (
	unsignedRefuse = "refuse"
	unsignedAllow  = "allow"
)

// What PluginsConfig.Isolation, and the isolation of a key in trust.yaml, may say.
const (
	isolationAuto    = "auto"
	isolationProcess = "process"
	wrongIsolation   = "expected " + isolationAuto + " or " + isolationProcess
)

// LimitsConfig bounds what runs at once. Zero means the default.
type LimitsConfig struct {
	Actions int `yaml:"actions"` // invocations at work: 64
	Runs    int `yaml:"runs"`    // busy runs before further alarms wait on disk: 256
	Workers int `yaml:"workers"` // processes of isolated plugins: 2 for each processor
}

// LoadConfig reads riposte.yaml.
func LoadConfig(file string) (Config, error) {
	var c Config
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	root, problems := document.Parse(file, text)
	if problems == nil {
		problems = root.Decode(&c)
	}
	if len(problems) > 0 {
		return c, problems
	}
	if u := c.Plugins.Unsigned; u != "" && u != unsignedRefuse && u != unsignedAllow {
		at := root.Get("plugins").Get("unsigned")
		return c, document.Problems{at.Problem(fmt.Sprintf("expected %s or %s", unsignedRefuse, unsignedAllow), "")}
	}
	if i := c.Plugins.Isolation; i != "" && i != isolationAuto && i != isolationProcess {
		return c, document.Problems{root.Get("plugins").Get("isolation").Problem(wrongIsolation, "")}
	}
	for _, path := range []*string{&c.Data, &c.Cache, &c.Syslog.Cert, &c.Syslog.Key, &c.Plugins.Dir} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(file), *path)
		}
	}
	return c, nil
}

// policy gives the network policy of the configuration.
func (n NetworkConfig) policy() (capability.Network, error) {
	policy := capability.Network{DenyHosts: n.DenyHosts}
	for _, list := range []struct {
		name string
		from []string
		to   *[]netip.Prefix
	}{{"network.allow", n.Allow, &policy.Allow}, {"network.deny", n.Deny, &policy.Deny}} {
		for _, text := range list.from {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return policy, abi.NewFault(abi.Invalid, fmt.Sprintf("%s: %q is no network", list.name, text), "write it as 127.0.0.0/8")
			}
			*list.to = append(*list.to, prefix)
		}
	}
	return policy, nil
}
