module github.com/fairlead-go/fairlead/tools

go 1.26.0
