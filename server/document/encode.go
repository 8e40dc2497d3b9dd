package document

import "github.com/goccy/go-yaml"

// FromJSON writes JSON as YAML, for people; members keep their order.
func FromJSON(data []byte) ([]byte, error) { return yaml.JSONToYAML(data) }
