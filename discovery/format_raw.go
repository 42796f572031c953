package discovery

// Raw is go-kit's format: the address as it is, under BASE/SERVICE/ID. It carries nothing else;
// go-kit uses the address as the id too. An instance with more than one address is [ErrInvalid].
// All else that an instance may have (version, zone, weight, tags, metadata, state) is lost without
// an error, since whoever registers so that go-kit finds it needs no more: such instances get a
// weight, or are drained, by what operators say (see Control).
//
// An id may have slashes, as in "http://10.0.0.1:80". So a service "a" also has what is registered
// as "a/b": let no service's name begin with another one's and a slash. That goes for Naming and
// GoZero too.
type Raw struct {
	Base string // "/services/", say; ends in "/" unless it is empty
}

// Prefix implements Format.
func (f Raw) Prefix(service string) string { return f.Base + service + "/" }

// Key implements Format.
func (f Raw) Key(in *Instance) string { return f.Prefix(in.Service) + in.ID }

// Marshal implements Format.
func (f Raw) Marshal(in *Instance) ([]byte, error) {
	a, err := oneAddress(in)
	return []byte(a), err
}

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
