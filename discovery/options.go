package discovery

// DirectoryOption changes a [Directory]. For an invalid one [Directory.Subscribe] returns an error
// that wraps [ErrInvalid].
type DirectoryOption interface{ directory(*Directory) }

// RegistrarOption changes a [Registrar]. For an invalid one [Registrar.Register] and
// [Registrar.Keep] return an error that wraps [ErrInvalid].
type RegistrarOption interface{ registrar(*Registrar) }

// Option changes a [Directory] or a [Registrar].
type Option interface {
	DirectoryOption
	RegistrarOption
}

type directoryOption func(*Directory)

func (o directoryOption) directory(d *Directory) { o(d) }

type registrarOption func(*Registrar)

func (o registrarOption) registrar(r *Registrar) { o(r) }

type formatOption struct{ format Format }

// WithFormat sets how records are stored; the default is [JSON].
func WithFormat(f Format) Option { return formatOption{f} }

func (o formatOption) directory(d *Directory) {
	if o.format == nil {
		d.refuse("the format is nil")
		return
	}
	d.format = o.format
}

func (o formatOption) registrar(r *Registrar) {
	if o.format == nil {
		r.refuse("the format is nil")
		return
	}
	r.format = o.format
}
