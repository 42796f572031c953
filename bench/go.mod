module github.com/fairlead-go/fairlead/bench

go 1.26.0
