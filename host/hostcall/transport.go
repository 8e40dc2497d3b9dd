package hostcall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// clientTLS is how a capability's connections are encrypted. Equal keys are equal terms.
type clientTLS struct {
	key    string
	config *tls.Config
}

// maxCA bounds the file of certificates.
const maxCA = 1 << 20

// newClientTLS reads the terms; the file of authorities is read once, when a connector is first used or was changed.
func newClientTLS(t capability.TLS) (*clientTLS, *abi.Fault) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.Min == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	authorities := ""
	if t.CA != "" {
		pem, err := readCA(t.CA)
		if err != nil {
			return nil, abi.NewFault(abi.Invalid, "tls.ca "+t.CA+" cannot be read", "give a readable file of PEM certificates")
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, abi.NewFault(abi.Invalid, "tls.ca "+t.CA+" has no certificate", "give a file of PEM certificates")
		}
		sum := sha256.Sum256(pem)
		authorities = string(sum[:])
	}
	for _, pin := range t.Pins {
		if sum, err := base64.StdEncoding.DecodeString(pin); err != nil || len(sum) != sha256.Size {
			return nil, abi.NewFault(abi.Invalid, "tls.pins: "+pin+" is no pin", "give the base64 SHA-256 of a public key")
		}
	}
	if len(t.Pins) > 0 {
		c.VerifyConnection = checkPins(t.Pins)
	}
	return &clientTLS{key: strings.Join([]string{authorities, t.ServerName, t.Min, strings.Join(t.Pins, ",")}, "\x00"), config: c}, nil
}

func readCA(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxCA))
}

// errPin says that no certificate of a connection has a key that was pinned.
var errPin = errors.New("no certificate has a pinned key")

func checkPins(pins []string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		for _, chain := range state.VerifiedChains {
			for _, cert := range chain {
				sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
				if slices.Contains(pins, base64.StdEncoding.EncodeToString(sum[:])) {
					return nil
				}
			}
		}
		return errPin
	}
}

// transportKey holds everything that may differ between two connections to the same place: a connection is never used under other terms
// than those it was opened under.
type transportKey struct {
	tls   string
	named bool // private addresses were allowed
	fresh bool // every request has its own connection, so that none is repeated by the transport
}

// transport gives the shared transport for some terms. It follows no redirects, keeps no cookies and asks no proxy.
func (s *Services) transport(terms *clientTLS, named, fresh bool) *http.Transport {
	key := transportKey{tls: terms.key, named: named, fresh: fresh}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.transports[key]; ok {
		return t
	}
	t := &http.Transport{
		Proxy:                  nil,
		DialContext:            s.dialer(named).DialContext,
		TLSClientConfig:        terms.config.Clone(),
		TLSHandshakeTimeout:    10 * time.Second,
		DisableKeepAlives:      fresh,
		ForceAttemptHTTP2:      !fresh,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
	if !s.closed {
		s.transports[key] = t
	}
	return t
}

// netFault turns an error of the network into a fault that names only where: never a URL, a query or a secret.
func netFault(ctx context.Context, err error, where string) *abi.Fault {
	var refusal *capability.Refusal
	var fault *abi.Fault
	var name *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &refusal):
		f := refusal.Fault()
		f.Message = where + ": " + f.Message
		return f
	case errors.As(err, &fault):
		return fault
	case errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled):
		return abi.NewFault(abi.Cancelled, where+": the call was cancelled", "")
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		return abi.NewFault(abi.Timeout, where+" did not answer in time", "")
	case errors.As(err, &name):
		why := "the name cannot be resolved now"
		if name.IsNotFound {
			why = "there is no such name"
		}
		return abi.NewFault(abi.Unavailable, where+": "+why, "")
	case errors.As(err, &timeout) && timeout.Timeout():
		return abi.NewFault(abi.Timeout, where+" did not answer in time", "")
	}
	if f := tlsFault(err, where); f != nil {
		return f
	}
	why := "the connection failed"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nothing listens there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "there is no way to it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		why = "it closed the connection before the answer was whole"
	}
	return abi.NewFault(abi.Unavailable, where+": "+why, "")
}

// tlsFault names what is wrong with the other side's certificate; repeating that is useless.
func tlsFault(err error, where string) *abi.Fault {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	fault := func(message, hint string) *abi.Fault {
		return &abi.Fault{Kind: abi.Unavailable, Message: where + ": " + message, Hint: hint}
	}
	switch {
	case errors.As(err, &authority):
		return fault("its certificate is signed by an unknown authority", "name the authority's file in tls.ca of the grant")
	case errors.As(err, &host):
		return fault("its certificate is for another name", "set tls.server_name of the grant, if the name is right")
	case errors.As(err, &invalid):
		return fault("its certificate is not valid (expired, or not for this use)", "")
	case errors.Is(err, errPin):
		return fault("no certificate has a pinned key", "check tls.pins of the grant")
	case errors.As(err, &record), bytes.Contains([]byte(err.Error()), []byte("server gave HTTP response to HTTPS client")):
		return fault("it does not speak TLS", "")
	case errors.As(err, &alert):
		return fault("it ended the TLS handshake", "")
	}
	return nil
}
