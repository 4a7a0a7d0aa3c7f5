package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// The values that a description allows.
var (
	available = regexp.MustCompile(`Available values: ((?:"[^"]*"(?:, )?)+)`)
	quoted    = regexp.MustCompile(`"([^"]*)"`)
)

// Checks a configuration against what the descriptions of its schema say.
func check(schema *tfprotov6.Schema, config *tfprotov6.DynamicValue) []*tfprotov6.Diagnostic {
	if schema == nil || config == nil {
		return nil
	}
	value, err := config.Unmarshal(schema.ValueType())
	if err != nil {
		return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: err.Error()}}
	}
	var found []*tfprotov6.Diagnostic
	checkAttributes(schema.Block.Attributes, value, tftypes.NewAttributePath(), &found)
	return found
}

func checkAttributes(attributes []*tfprotov6.SchemaAttribute, object tftypes.Value, path *tftypes.AttributePath, found *[]*tfprotov6.Diagnostic) {
	var values map[string]tftypes.Value
	if !object.IsKnown() || object.IsNull() || object.As(&values) != nil {
		return
	}
	for _, attribute := range attributes {
		here := path.WithAttributeName(attribute.Name)
		value := values[attribute.Name]
		if attribute.NestedType != nil {
			checkNested(attribute.NestedType, value, here, found)
			continue
		}
		checkValue(attribute, value, here, found)
	}
}

func checkNested(nested *tfprotov6.SchemaObject, value tftypes.Value, path *tftypes.AttributePath, found *[]*tfprotov6.Diagnostic) {
	if !value.IsKnown() || value.IsNull() {
		return
	}
	var list []tftypes.Value
	var named map[string]tftypes.Value
	switch nested.Nesting {
	case tfprotov6.SchemaObjectNestingModeSingle:
		checkAttributes(nested.Attributes, value, path, found)
	case tfprotov6.SchemaObjectNestingModeMap:
		if value.As(&named) == nil {
			for name, one := range named {
				checkAttributes(nested.Attributes, one, path.WithElementKeyString(name), found)
			}
		}
	default:
		if value.As(&list) == nil {
			for index, one := range list {
				checkAttributes(nested.Attributes, one, path.WithElementKeyInt(index), found)
			}
		}
	}
}

func checkValue(attribute *tfprotov6.SchemaAttribute, value tftypes.Value, path *tftypes.AttributePath, found *[]*tfprotov6.Diagnostic) {
	var text string
	listed := available.FindStringSubmatch(attribute.Description)
	if listed == nil || !value.IsKnown() || value.IsNull() || value.As(&text) != nil {
		return
	}
	for _, one := range quoted.FindAllStringSubmatch(listed[1], -1) {
		if strings.EqualFold(one[1], text) {
			return
		}
	}
	*found = append(*found, &tfprotov6.Diagnostic{
		Severity:  tfprotov6.DiagnosticSeverityError,
		Summary:   "A value that the provider does not know",
		Detail:    fmt.Sprintf("%q is none of %s", text, listed[1]),
		Attribute: path,
	})
}
