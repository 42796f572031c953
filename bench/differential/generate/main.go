// Generate writes package fairlead: package official with our packages in place of the official
// client's. Run it with go generate; a test fails if somebody forgot to.
package main

import (
	"fmt"
	"os"

	"github.com/fairlead-go/fairlead/bench/differential/twin"
)

func main() {
	files, err := twin.Files(".")
	if err == nil {
		for name, text := range files {
			if err = os.WriteFile("../fairlead/"+name, text, 0o644); err != nil {
				break
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
