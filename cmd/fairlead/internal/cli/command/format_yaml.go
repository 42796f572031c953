package command

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Yaml writes the JSON document as YAML: the same names, the same order, and bytes in base64 too.
// Every document of a stream but the first has a separator before it.
func (p *Printer) Yaml(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var doc yaml.Node // JSON is YAML; numbers in nodes keep their digits
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	blockStyle(&doc)
	if p.documents++; p.documents > 1 {
		fmt.Fprintln(p, "---")
	}
	enc := yaml.NewEncoder(p)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return enc.Close()
}

// blockStyle removes JSON's braces and quotes if YAML does not need them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		blockStyle(child)
	}
}
