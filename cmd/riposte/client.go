package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/document"
)

// format of what a command prints.
type format string

func (f *format) String() string {
	if *f == "" {
		return "table"
	}
	return string(*f)
}

func (f *format) Set(s string) error {
	switch s {
	case "table", "json", "yaml":
		*f = format(s)
		return nil
	}
	return fmt.Errorf("%q is no output format: table, json or yaml", s)
}

func (f *format) Type() string { return "format" }

// client talks to the API of a server.
type client struct {
	server, token, user string
	format              format
	json                bool
	out                 io.Writer // os.Stdout if nil
}

func (c *client) writer() io.Writer {
	if c.out != nil {
		return c.out
	}
	return os.Stdout
}

// do sends a request and decodes the answer; what the server refuses comes back as its fault.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	token := c.token
	if file, ok := strings.CutPrefix(token, "@"); ok {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(text))
	}
	if !strings.HasPrefix(c.server, "http://") && !strings.HasPrefix(c.server, "https://") {
		return usagef("--server %s: expected the address of a server's API, such as http://127.0.0.1:8080", c.server)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.server, "/")+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return usageError{err}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if c.user != "" {
		req.Header.Set("X-Riposte-User", c.user)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // without the address once more
		}
		return abi.NewFault(abi.Unavailable, "no answer from "+c.server+": "+err.Error(), "is the server running? --server names another address")
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return refusal(resp.Status, data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", c.server, err)
	}
	return nil
}

// refusal makes an error of a problem document.
func refusal(status string, data []byte) error {
	var p struct {
		abi.Fault
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	if json.Unmarshal(data, &p) != nil {
		return fmt.Errorf("the server answered %s", status)
	}
	f := p.Fault
	if f.Kind == "" {
		f.Kind = abi.Invalid
	}
	if f.Message == "" {
		f.Message = p.Detail
	}
	for _, e := range p.Errors {
		f.Message += "; " + e.Location + ": " + e.Message
	}
	return &f
}

// get fetches into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, http.MethodGet, path, "", nil, out)
}

// post sends v as JSON.
func (c *client) post(ctx context.Context, path string, v, out any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, "application/json", body, out)
}

// show prints v as JSON or YAML, or leaves it to table.
func (c *client) show(v any, table func(w *tabwriter.Writer)) error {
	if c.json {
		c.format = "json"
	}
	switch c.format {
	case "json", "yaml":
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		if c.format == "yaml" {
			if data, err = document.FromJSON(data); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintln(c.writer(), strings.TrimRight(string(data), "\n"))
		return err
	}
	w := tabwriter.NewWriter(calmWriter{c.writer()}, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// done tells what a command did: in words, or v as JSON or YAML.
func (c *client) done(v any, format string, words ...any) error {
	return c.show(v, func(w *tabwriter.Writer) { fmt.Fprintf(w, format, words...) })
}

// ago tells a time to people.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "–"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return t.Local().Format("2006-01-02 15:04")
}
