// Parses files of HCL and prints what is wrong with them: what is left of the tests where there is no Terraform.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/hcl/v2/hclparse"
)

func main() {
	parser := hclparse.NewParser()
	failed := false
	for _, path := range os.Args[1:] {
		_, diagnostics := parser.ParseHCLFile(path)
		for _, diagnostic := range diagnostics {
			fmt.Fprintln(os.Stderr, diagnostic)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
