module github.com/fairlead-go/fairlead/cmd/fairlead

go 1.26.0
