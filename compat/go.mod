module github.com/fairlead-go/fairlead/compat

go 1.26.0

require (
	github.com/fairlead-go/fairlead v0.0.0
	golang.org/x/mod v0.30.0
)

// Outside go.work, so that it builds with the dependencies it names.
replace github.com/fairlead-go/fairlead => ../
