module github.com/fairlead-go/fairlead/examples

go 1.26.0
