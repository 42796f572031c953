module github.com/fairlead-go/fairlead/compat

go 1.26.0

require (
	github.com/fairlead-go/fairlead v0.1.0
	golang.org/x/mod v0.30.0
)
