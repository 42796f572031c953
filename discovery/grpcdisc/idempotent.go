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

// declared is what the method's proto says, if this program has it.
func declared(method string) bool {
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return false
	}
	opts, _ := d.Options().(*descriptorpb.MethodOptions)
	level := opts.GetIdempotencyLevel()
	return level == descriptorpb.MethodOptions_NO_SIDE_EFFECTS || level == descriptorpb.MethodOptions_IDEMPOTENT
}
