package grpcdisc

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// idempotent reports whether a method, by its full name, may be executed more than once.
func (i *interceptor) idempotent(method string) bool {
	if i.named[method] || i.named[method[:strings.LastIndexByte(method, '/')+1]] {
		return true
	}
	if known, ok := i.declared.Load(method); ok {
		return known.(bool)
	}
	is := declared(method)
	i.declared.Store(method, is)
	return is
}

// declared returns what the method's proto says, if this program has it.
func declared(method string) bool {
	d := described(method)
	if d == nil {
		return false
	}
	opts, _ := d.Options().(*descriptorpb.MethodOptions)
	level := opts.GetIdempotencyLevel()
	return level == descriptorpb.MethodOptions_NO_SIDE_EFFECTS || level == descriptorpb.MethodOptions_IDEMPOTENT
}

// streams reports whether a method streams. Each pick needs that, so the answers are kept.
func (p *policy) streams(method string) bool {
	if known, ok := p.streamed.Load(method); ok {
		return known.(bool)
	}
	is := streams(method)
	p.streamed.Store(method, is)
	return is
}

// streams reports whether a method streams, by its proto. Such a call may be quiet as long as it
// likes: silence says nothing about the instance.
func streams(method string) bool {
	d := described(method)
	return d != nil && (d.IsStreamingClient() || d.IsStreamingServer())
}

// described returns a method's proto, by its full name; nil if this program does not have it.
func described(method string) protoreflect.MethodDescriptor {
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	m, _ := d.(protoreflect.MethodDescriptor)
	return m
}
