// modelpack-check reads a model's config from stdin and validates it with the model-spec's own JSON
// Schema, which its Go module carries. Exit status 0: valid; 1: not, with the reason on stderr.
package main

import (
	"fmt"
	"os"

	"github.com/modelpack/model-spec/schema"
)

func main() {
	if err := schema.ValidatorMediaTypeModelConfig.Validate(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
