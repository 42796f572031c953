package console

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// formatMost bytes are laid out: nobody edits more in a page.
const formatMost = 1 << 20

// postFormat checks YAML and lays it out anew, with its comments. What is no mapping and no list is
// any text, and none to be formatted.
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
	defer func() { // the decoder has been known to panic on nonsense
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
