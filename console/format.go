package console

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// formatMost is the largest value, in bytes, that is formatted: users do not edit larger ones in a
// page.
const formatMost = 1 << 20

// postFormat checks YAML and formats it, with its comments. A document that is neither a mapping
// nor a list is just text, and is not formatted.
func postFormat(r *request) (any, error) {
	var in struct{ Value []byte }
	if err := decode(r.Request, &in); err != nil {
		return nil, err
	}
	if len(in.Value) > formatMost {
		return nil, badRequest("the text is too long to be formatted here")
	}
	out, err := formatYAML(in.Value)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	return struct {
		Value []byte `json:"value"`
	}{out}, nil
}

var errNotYAML = errors.New("this is plain text, not a mapping or list in YAML")

func formatYAML(text []byte) (_ []byte, err error) {
	defer func() { // the decoder has been known to panic on invalid input
		if recover() != nil {
			err = errNotYAML
		}
	}()
	var out bytes.Buffer
	from, to := yaml.NewDecoder(bytes.NewReader(text)), yaml.NewEncoder(&out)
	to.SetIndent(2)
	for documents := 0; ; documents++ {
		var doc yaml.Node
		err := from.Decode(&doc)
		switch {
		case err == io.EOF && documents > 0:
			err := to.Close()
			return out.Bytes(), err
		case err == io.EOF:
			return nil, errNotYAML
		case err != nil:
			return nil, err
		case len(doc.Content) != 1 ||
			doc.Content[0].Kind != yaml.MappingNode && doc.Content[0].Kind != yaml.SequenceNode:
			return nil, errNotYAML
		}
		var check any // duplicate keys and unknown anchors are found by decoding only
		if err := doc.Decode(&check); err != nil {
			return nil, err
		}
		if err := to.Encode(&doc); err != nil {
			return nil, err
		}
	}
}
