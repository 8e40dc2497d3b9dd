// Package lab starts the simulated vendors and servers that tests and the demo act on, all on loopback, with one page to look at and to
// disturb them. They speak the real protocols; what they hold is the story of package world.
package lab

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/dns"
	"github.com/riposte-soar/riposte/testing/lab/hackertarget"
	"github.com/riposte-soar/riposte/testing/lab/logpoint"
	"github.com/riposte-soar/riposte/testing/lab/mssql"
	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	"github.com/riposte-soar/riposte/testing/lab/panos"
	"github.com/riposte-soar/riposte/testing/lab/rdap"
	"github.com/riposte-soar/riposte/testing/lab/sink"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
	"github.com/riposte-soar/riposte/testing/lab/virustotal"
	"github.com/riposte-soar/riposte/testing/lab/whois"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// The login of the inventory's read-only user.
const (
	InventoryUser     = "riposte_ro"
	InventoryPassword = "inventory-read-only-pw"
)

// Lab is a set of running servers.
type Lab struct {
	World        *world.World
	PANOS        *panos.Server
	VirusTotal   *virustotal.Server
	LogPoint     *logpoint.Server
	HackerTarget *hackertarget.Server
	WHOIS        *whois.Server
	RDAP         *rdap.Server
	DNS          *dnssim.Server
	MSSQL        *mssql.Server
	SMTP         *smtpsink.Server
	Sink         *sink.Server

	control *http.Server
	url     string
	close   []func() error
}

// Start starts all of them.
func Start() (_ *Lab, err error) {
	l := &Lab{World: world.Default()}
	defer func() {
		if err != nil {
			_ = l.Close()
		}
	}()
	starts := []func() error{
		func() error {
			return run(l, &l.PANOS, func() (*panos.Server, error) { return panos.Start(l.World, panos.Options{}) })
		},
		func() error {
			return run(l, &l.VirusTotal, func() (*virustotal.Server, error) { return virustotal.Start(l.World, virustotal.Options{}) })
		},
		func() error {
			return run(l, &l.LogPoint, func() (*logpoint.Server, error) { return logpoint.Start(l.World, logpoint.Options{}) })
		},
		func() error {
			return run(l, &l.HackerTarget, func() (*hackertarget.Server, error) { return hackertarget.Start(l.World, hackertarget.Options{}) })
		},
		func() error {
			return run(l, &l.WHOIS, func() (*whois.Server, error) { return whois.Start(whois.Options{Networks: l.networks()}) })
		},
		func() error {
			return run(l, &l.RDAP, func() (*rdap.Server, error) { return rdap.Start(rdap.Options{Networks: l.registrations()}) })
		},
		func() error {
			return run(l, &l.DNS, func() (*dnssim.Server, error) { return dnssim.Start(dnssim.Options{Records: l.records()}) })
		},
		func() error {
			return run(l, &l.MSSQL, func() (*mssql.Server, error) { return mssql.Start(l.inventory()) })
		},
		func() error {
			return run(l, &l.SMTP, func() (*smtpsink.Server, error) { return smtpsink.Start(smtpsink.Options{}) })
		},
		func() error {
			return run(l, &l.Sink, func() (*sink.Server, error) { return sink.Start(sink.Options{}) })
		},
		l.listen,
	}
	for _, start := range starts {
		if err := start(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

type closer interface{ Close() error }

func run[T closer](l *Lab, to *T, start func() (T, error)) error {
	s, err := start()
	if err != nil {
		return err
	}
	*to = s
	l.close = append(l.close, s.Close)
	return nil
}

// Close ends them all.
func (l *Lab) Close() error {
	var errs []error
	for i := len(l.close) - 1; i >= 0; i-- {
		errs = append(errs, l.close[i]())
	}
	return errors.Join(errs...)
}

// Addresses are where the servers listen: URLs of those that speak HTTP, host:port of the others. "lab" is the control page.
func (l *Lab) Addresses() map[string]string {
	return map[string]string{"panos": l.PANOS.URL(), "virustotal": l.VirusTotal.URL(), "logpoint": l.LogPoint.URL(), "hackertarget": l.HackerTarget.URL(),
		"rdap": l.RDAP.URL(), "sink": l.Sink.URL(), "whois": l.WHOIS.Addr(), "dns": l.DNS.Addr(), "mssql": l.MSSQL.Addr(), "smtp": l.SMTP.Addr(), "lab": l.url}
}

// Secrets are the passwords and keys that the servers ask for, by the name of the server.
func (l *Lab) Secrets() map[string]string {
	return map[string]string{"panos": panos.DefaultKey, "virustotal": virustotal.DefaultKey, "logpoint": logpoint.DefaultSecret, "mssql": InventoryPassword}
}

// listen serves the control page: /NAME/state, /NAME/faults and so on for each server, and everything at once at /state.
func (l *Lab) listen() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	type controlled interface {
		Control() http.Handler
		State() any
	}
	all := map[string]controlled{"panos": l.PANOS, "virustotal": l.VirusTotal, "logpoint": l.LogPoint, "hackertarget": l.HackerTarget, "whois": l.WHOIS,
		"rdap": l.RDAP, "dns": l.DNS, "mssql": l.MSSQL, "smtp": l.SMTP, "sink": l.Sink}
	mux := http.NewServeMux()
	for name, s := range all {
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, s.Control()))
	}
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		state := map[string]any{}
		for name, s := range all {
			state[name] = s.State()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(state)
	})
	l.url = "http://" + ln.Addr().String()
	l.control = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = l.control.Serve(ln)
	}()
	l.close = append(l.close, func() error {
		err := l.control.Close()
		<-served
		return err
	})
	return nil
}

// networks are the world's, as WHOIS tells them.
func (l *Lab) networks() []whois.Network {
	var out []whois.Network
	for _, n := range l.World.Networks {
		out = append(out, whois.Network{Prefix: n.Prefix, Name: n.Name, Handle: n.Handle, Org: n.Org, Country: n.Country, AbuseMail: n.Abuse, ASN: n.ASN,
			Created: n.Created, Updated: n.Changed})
	}
	return out
}

// registrations are the same for RDAP.
func (l *Lab) registrations() []rdap.Network {
	var out []rdap.Network
	for _, n := range l.World.Networks {
		out = append(out, rdap.Network{Prefix: n.Prefix, Name: n.Name, Handle: n.Handle, Org: n.Org, Country: n.Country, AbuseMail: n.Abuse, ASN: n.ASN,
			Created: n.Created, Updated: n.Changed})
	}
	return out
}

// records are the world's names, forward and reverse.
func (l *Lab) records() []dnssim.Record {
	var out []dnssim.Record
	add := func(name string, ip netip.Addr) {
		kind := "A"
		if ip.Is6() {
			kind = "AAAA"
		}
		out = append(out, dnssim.Record{Name: name, Type: kind, Value: ip.String()})
	}
	for _, h := range l.World.Hosts {
		if h.Reverse != "" {
			out = append(out, dnssim.Record{Name: reverseName(h.IP), Type: "PTR", Value: h.Reverse})
			add(h.Reverse, h.IP)
		}
	}
	for _, a := range l.World.Assets {
		out = append(out, dnssim.Record{Name: reverseName(a.IP), Type: "PTR", Value: a.Hostname})
		add(a.Hostname, a.IP)
	}
	for _, d := range l.World.Domains {
		for _, ip := range d.Addresses {
			add(d.Name, ip)
		}
	}
	return out
}

// reverseName is the name under which an IPv4 address is looked up (RFC 1035, section 3.5).
func reverseName(ip netip.Addr) string {
	parts := strings.Split(ip.String(), ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ".") + ".in-addr.arpa"
}

// inventory is the database of assets with its read-only user.
func (l *Lab) inventory() mssql.Options {
	t := tsql.Table{}
	for _, name := range []string{"ip", "hostname", "owner", "department", "criticality", "os", "location"} {
		t.Columns = append(t.Columns, tsql.Column{Name: name, Type: tsql.NVarChar})
	}
	for _, a := range l.World.Assets {
		t.Rows = append(t.Rows, []any{a.IP.String(), a.Hostname, a.Owner, a.Department, a.Criticality, a.OS, a.Location})
	}
	return mssql.Options{Database: "cmdb", Tables: map[string]tsql.Table{"dbo.assets": t},
		Logins: []mssql.Login{{User: InventoryUser, Password: InventoryPassword, Tables: []string{"dbo.assets"}}}}
}
