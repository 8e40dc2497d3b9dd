package script_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/riposte-soar/riposte/server/api"
)

// httpCommand sends one request: http STATUS METHOD PATH [FILE [TYPE]].
func httpCommand(ts *testscript.TestScript, args []string) error {
	if len(args) < 3 || len(args) > 5 {
		return errors.New("usage: http STATUS METHOD PATH [FILE [TYPE]]")
	}
	body := ""
	if len(args) > 3 {
		body = ts.ReadFile(args[3])
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, args[1], ts.Getenv("RIPOSTE_SERVER")+args[2], strings.NewReader(body))
	if err != nil {
		return err
	}
	if ts.Getenv("NOTOKEN") == "" {
		req.Header.Set("Authorization", "Bearer "+ts.Getenv("RIPOSTE_TOKEN"))
	}
	if len(args) > 4 {
		req.Header.Set("Content-Type", args[4])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(ts.Stdout(), resp.Body); err != nil {
		return err
	}
	if err := resp.Header.Write(ts.Stderr()); err != nil {
		return err
	}
	if strconv.Itoa(resp.StatusCode) != args[0] {
		return fmt.Errorf("%s %s: %s, want %s", args[1], args[2], resp.Status, args[0])
	}
	return nil
}

// jsonCommand compares a part of stdout with the last argument.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: json SEGMENT… VALUE")
	}
	var doc any
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	dec.UseNumber()
	ts.Check(dec.Decode(&doc))
	path, want := args[:len(args)-1], args[len(args)-1]
	got := text(pick(doc, path))
	if (got == want) == neg {
		ts.Fatalf("json %s is %s", strings.Join(path, " "), got)
	}
}

// pick follows segments into a document: a member's name, an index, `len` for the number of entries, `*` for all entries, or name=value for those
// that have it. What all of many entries have comes as a list.
func pick(doc any, path []string) any {
	if len(path) == 0 {
		return doc
	}
	if m, ok := doc.(map[string]any); ok {
		if path[0] == "len" {
			return json.Number(strconv.Itoa(len(m)))
		}
		return pick(m[path[0]], path[1:])
	}
	list, _ := doc.([]any)
	name, value, filtered := strings.Cut(path[0], "=")
	switch n, err := strconv.Atoi(path[0]); {
	case path[0] == "len":
		return json.Number(strconv.Itoa(len(list)))
	case err == nil && n >= 0 && n < len(list):
		return pick(list[n], path[1:])
	case path[0] == "*" || filtered:
		out := many{}
		for _, v := range list {
			if !filtered || text(pick(v, []string{name})) == value {
				out = append(out, pick(v, path[1:]))
			}
		}
		if len(path) > 1 && path[1] == "len" {
			return json.Number(strconv.Itoa(len(out)))
		}
		return out
	}
	return nil
}

// many are the values of several entries, which are compared as a sorted list.
type many []any

// text writes a value for comparison: text as it is, nothing as "null", other values as JSON, the values of many entries sorted, with spaces between.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case many:
		all := make([]string, len(v))
		for i := range v {
			all[i] = text(v[i])
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// timelineCommand waits for facts: timeline ID REGEXP…
func timelineCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: timeline ID REGEXP…")
	}
	var want []*regexp.Regexp
	for _, arg := range args[1:] {
		re, err := regexp.Compile(arg)
		ts.Check(err)
		want = append(want, re)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := sceneOf(ts).server
	if neg {
		var list []api.Entry
		_, err := s.call(ctx, "GET", "/api/v1/incidents/"+args[0]+"/timeline", nil, &list)
		ts.Check(err)
		for _, e := range list {
			if slices.ContainsFunc(want, func(re *regexp.Regexp) bool { return re.MatchString(e.Text) }) {
				ts.Fatalf("%s has the fact %q", args[0], e.Text)
			}
		}
		return
	}
	err := s.follow(ctx, args[0], func(e *api.Entry) error {
		if want[0].MatchString(e.Text) {
			want = want[1:]
		}
		if len(want) == 0 {
			return errEnough
		}
		return nil
	})
	if err != nil {
		ts.Fatalf("%s has no fact that matches %q: %v", args[0], want[0], err)
	}
}

// labCommand looks at the vendors of a script, or makes them fail:
//
//	lab panos blocked IP…        wait until each address is blocked
//	lab panos free IP…           wait until none of them is
//	lab panos now [IP…]          exactly these are blocked at this moment
//	lab panos registers IP N     an address was in N requests to block it
//	lab panos|virustotal stalled wait until a call hangs by a fault
//	lab smtp to ADDRESS…         exactly these got mail so far, sorted; an address that got two stands there twice
//	lab smtp|sink count N        wait until N mails, or requests, have come
//	lab NAME fault JSON          arm a fault, as the control page of a simulator takes it
//	lab NAME clear               disarm all
//	lab NAME faults              write the faults that are armed still to stdout
//	lab NAME state               write the state of a simulator to stdout
func (s *scene) labCommand(ts *testscript.TestScript, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: see labCommand")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch args[0] + " " + args[1] {
	case "panos blocked":
		return s.waitBlocked(ctx, args[2:], true)
	case "panos free":
		return s.waitBlocked(ctx, args[2:], false)
	case "panos now":
		return same("blocked", s.blocked(), args[2:])
	case "panos stalled":
		return hung(ctx, s.lab.PANOS.Server)
	case "virustotal stalled":
		return hung(ctx, s.lab.VirusTotal.Server)
	case "panos registers":
		if got := strconv.Itoa(s.lab.PANOS.Count(args[2]).Register); got != args[3] {
			return fmt.Errorf("%s was registered %s times, want %s", args[2], got, args[3])
		}
		return nil
	case "smtp to":
		return same("mailed", s.mailed(), args[2:])
	case "smtp count", "sink count":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		if args[0] == "smtp" {
			return s.lab.SMTP.Wait(ctx, n)
		}
		return s.lab.Sink.Wait(ctx, n)
	}
	return s.control(ctx, ts, args)
}

// control uses the control page of a simulator.
func (s *scene) control(ctx context.Context, ts *testscript.TestScript, args []string) error {
	method, path, body := http.MethodGet, "", ""
	switch {
	case args[1] == "fault" && len(args) == 3:
		method, path, body = http.MethodPost, "faults", args[2]
	case args[1] == "clear" && len(args) == 2:
		method, path = http.MethodDelete, "faults"
	case (args[1] == "state" || args[1] == "faults") && len(args) == 2:
		path = args[1]
	default:
		return fmt.Errorf("lab %s: see labCommand", strings.Join(args, " "))
	}
	req, err := http.NewRequestWithContext(ctx, method, s.lab.Addresses()["lab"]+"/"+args[0]+"/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(ts.Stdout(), resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("lab %s: %s", strings.Join(args, " "), resp.Status)
	}
	return nil
}
