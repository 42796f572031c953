package discovery

// Raw is go-kit's format: the address as it is, under BASE/SERVICE/ID. It carries nothing
// else; go-kit uses the address as the id too.
type Raw struct {
	Base string // "/services/", say; ends in "/" unless it is empty
}

// Prefix implements Format.
func (f Raw) Prefix(service string) string { return f.Base + service + "/" }

// Key implements Format.
func (f Raw) Key(in *Instance) string { return f.Prefix(in.Service) + in.ID }

// Marshal implements Format.
func (f Raw) Marshal(in *Instance) ([]byte, error) { return []byte(in.Addresses[0]), nil }

// Unmarshal implements Format.
func (f Raw) Unmarshal(service, key string, value []byte) (*Instance, error) {
	id, err := lastPart(f.Prefix(service), key)
	if err != nil {
		return nil, err
	}
	in := &Instance{Service: service, ID: id, Addresses: []string{string(value)}}
	return in, in.Validate()
}

// GoZero reads what go-zero registers: the address under KEY/LEASE, where KEY is the
// service.
type GoZero struct{ Raw }

// Marshal implements Format.
func (GoZero) Marshal(*Instance) ([]byte, error) { return nil, ErrReadOnly }
