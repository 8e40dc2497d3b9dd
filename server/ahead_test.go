package server

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/riposte-soar/riposte/testing/lab/content"
)

// The runbook of the demo uses nine plugins, in calls, branches and loops; a rule of more weight comes first.
func TestFirstPlugins(t *testing.T) {
	dir := t.TempDir()
	places := map[string]string{}
	for _, name := range []string{"panos", "virustotal", "logpoint", "hackertarget", "rdap"} {
		places[name] = "http://127.0.0.1:9"
	}
	for _, name := range []string{"whois", "dns", "mssql", "smtp"} {
		places[name] = "127.0.0.1:9"
	}
	if err := content.Write(dir, places, map[string]string{"panos": "x", "virustotal": "x", "logpoint": "x", "mssql": "x"}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"rules/first.yaml":      "rule: first\nwhen: rule.name == \"first\"\ntemplate: first\norder: 1\n",
		"templates/first.yaml":  "template: first\ntype: x\ntitle: x\nseverity: low\nrunbook: first\nautorun: true\n",
		"rules/never.yaml":      "rule: never\nwhen: rule.name == \"never\"\ntemplate: never\norder: 0\n",
		"templates/never.yaml":  "template: never\ntype: x\ntitle: x\nseverity: low\nrunbook: first\n",
		"runbooks/first.yaml":   "runbook: first\nversion: 1\nsteps: [{id: a, uses: webhook/post@1, connector: first, with: {body: 1}}]\n",
		"connectors/first.yaml": "connector: first\nplugin: webhook\nsettings: {url: \"http://127.0.0.1:9\"}\ngrant: [target]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	installed, err := OpenPlugins(Options{Content: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadContent(dir, installed.Bundles)
	if err != nil {
		t.Fatal(err)
	}
	all := firstPlugins(c, 100)
	if few := firstPlugins(c, 3); len(all) < 8 || all[0] != "webhook" || !reflect.DeepEqual(few, all[:3]) {
		t.Errorf("first %v of %v", few, all)
	}
	t.Log(all)
}
