package scenario

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// models is how many inputs a model is run over in an ordinary test; enough to find
// most mistakes within a second, the fuzzer goes further.
const models = 1000

func input(r *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// Models runs a model, whose choices are driven by bytes, over inputs of up to most
// bytes, the same ones each time. It stops at the first that fails.
func Models(t *testing.T, most int, run func(t *testing.T, data []byte)) {
	for seed := range uint64(models) {
		r := rand.New(rand.NewPCG(seed, 1))
		data := input(r, 50+r.IntN(most))
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { run(t, data) }) {
			return
		}
	}
}

// Fuzz lets the fuzzer drive a model.
func Fuzz(f *testing.F, run func(t *testing.T, data []byte)) {
	for seed := range uint64(16) {
		f.Add(input(rand.New(rand.NewPCG(seed, 2)), 600))
	}
	f.Fuzz(run)
}
