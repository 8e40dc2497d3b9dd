package plugins_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/runbook"
)

// shipped is a catalogue of the plugins of the repository, each with one connector.
type shipped map[string]*abi.Manifest

func (s shipped) Action(plugin, action string, major int) (*abi.Action, bool) {
	m, ok := s[plugin]
	if !ok || !strings.HasPrefix(m.Version, strconv.Itoa(major)+".") {
		return nil, false
	}
	a, ok := m.Actions[action]
	return &a, ok
}

func (s shipped) Connectors(plugin string) []string {
	if plugin == "mssql" {
		return []string{"cmdb"} // as the runbook names it
	}
	return []string{plugin}
}

// The runbook of the demo is typed against what the plugins promise.
func TestRunbookFitsManifests(t *testing.T) {
	const file = "../lab/content/files/runbooks/malicious-outbound.yaml"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := runbook.Load([]runbook.File{{Name: file, Data: data}}, shipped(manifestsOfFolders(t)), runbook.Options{Lists: []string{"crown_jewels"}})
	if len(problems) > 0 {
		t.Error(problems.Report())
	}
}
