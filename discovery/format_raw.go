package discovery

// Raw is go-kit's format: the plain address under BASE/SERVICE/ID. It carries nothing else; go-kit
// uses the address as the id too. An instance with more than one address is [ErrInvalid]. All other
// fields (version, zone, weight, tags, metadata, state) are lost without an error: a registration
// for go-kit's clients needs no more. Operators can weight and drain such instances (see
// [Control]).
//
// An id may have slashes, as in "http://10.0.0.1:80". So a service "a" also has the instances that
// are registered as "a/b": let no service's name begin with another one's and a slash. That goes
// for [Naming] and [GoZero] too.
type Raw struct {
	Base string // "/services/", say; ends in "/" unless it is empty
}

// Prefix implements [Format].
func (f Raw) Prefix(service string) string { return f.Base + service + "/" }

// Key implements [Format].
func (f Raw) Key(in *Instance) string { return f.Prefix(in.Service) + in.ID }

// Marshal implements [Format].
func (f Raw) Marshal(in *Instance) ([]byte, error) {
	a, err := oneAddress(in)
	return []byte(a), err
}

// Unmarshal implements [Format].
func (f Raw) Unmarshal(service, key string, value []byte) (*Instance, error) {
	id, err := lastPart(f.Prefix(service), key)
	if err != nil {
		return nil, err
	}
	in := &Instance{Service: service, ID: id, Addresses: []string{string(value)}}
	return in, in.Validate()
}

// GoZero reads the records of go-zero: the address under KEY/LEASE, where KEY is the service. It
// writes none.
type GoZero struct{ Raw }

// Marshal implements [Format]; it returns [ErrReadOnly].
func (GoZero) Marshal(*Instance) ([]byte, error) { return nil, ErrReadOnly }
