package main

import (
	"encoding/json"
	"fmt"
	"sort"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// One provider, as the protocol wants it.
type providerSchema struct {
	provider    *tfprotov6.Schema
	resources   map[string]*tfprotov6.Schema
	dataSources map[string]*tfprotov6.Schema
}

// What `terraform providers schema -json` prints.
type printedSchemas struct {
	Providers map[string]struct {
		Provider    printedSchema            `json:"provider"`
		Resources   map[string]printedSchema `json:"resource_schemas"`
		DataSources map[string]printedSchema `json:"data_source_schemas"`
	} `json:"provider_schemas"`
}

type printedSchema struct {
	Version int64        `json:"version"`
	Block   printedBlock `json:"block"`
}

type printedBlock struct {
	Attributes map[string]printedAttribute   `json:"attributes"`
	Blocks     map[string]printedNestedBlock `json:"block_types"`
}

type printedNestedBlock struct {
	Nesting  string       `json:"nesting_mode"`
	Block    printedBlock `json:"block"`
	MinItems int64        `json:"min_items"`
	MaxItems int64        `json:"max_items"`
}

type printedAttribute struct {
	Type        json.RawMessage     `json:"type"`
	Nested      *printedNestedTypes `json:"nested_type"`
	Description string              `json:"description"`
	Required    bool                `json:"required"`
	Optional    bool                `json:"optional"`
	Computed    bool                `json:"computed"`
	Sensitive   bool                `json:"sensitive"`
	WriteOnly   bool                `json:"write_only"`
}

type printedNestedTypes struct {
	Attributes map[string]printedAttribute `json:"attributes"`
	Nesting    string                      `json:"nesting_mode"`
}

// Reads the one provider of the text, and its address.
func readSchema(text []byte) (string, providerSchema, error) {
	var printed printedSchemas
	if err := json.Unmarshal(text, &printed); err != nil {
		return "", providerSchema{}, err
	}
	if len(printed.Providers) != 1 {
		return "", providerSchema{}, fmt.Errorf("%d providers instead of one", len(printed.Providers))
	}
	for address, one := range printed.Providers {
		var read providerSchema
		var err error
		if read.provider, err = one.Provider.read(); err != nil {
			return "", providerSchema{}, err
		}
		if read.resources, err = readAll(one.Resources); err != nil {
			return "", providerSchema{}, err
		}
		read.dataSources, err = readAll(one.DataSources)
		return address, read, err
	}
	panic("unreachable: there is one provider")
}

func readAll(printed map[string]printedSchema) (map[string]*tfprotov6.Schema, error) {
	read := make(map[string]*tfprotov6.Schema, len(printed))
	for name, one := range printed {
		schema, err := one.read()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		read[name] = schema
	}
	return read, nil
}

func (p printedSchema) read() (*tfprotov6.Schema, error) {
	block, err := p.Block.read()
	return &tfprotov6.Schema{Version: p.Version, Block: block}, err
}

func (p printedBlock) read() (*tfprotov6.SchemaBlock, error) {
	attributes, err := readAttributes(p.Attributes)
	if err != nil {
		return nil, err
	}
	block := &tfprotov6.SchemaBlock{Attributes: attributes}
	for _, name := range sorted(p.Blocks) {
		printed := p.Blocks[name]
		nested, err := printed.Block.read()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nesting, known := map[string]tfprotov6.SchemaNestedBlockNestingMode{
			"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
			"list":   tfprotov6.SchemaNestedBlockNestingModeList,
			"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
			"map":    tfprotov6.SchemaNestedBlockNestingModeMap,
			"group":  tfprotov6.SchemaNestedBlockNestingModeGroup,
		}[printed.Nesting]
		if !known {
			return nil, fmt.Errorf("%s: unknown nesting %q", name, printed.Nesting)
		}
		block.BlockTypes = append(block.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: nested, Nesting: nesting,
			MinItems: printed.MinItems, MaxItems: printed.MaxItems,
		})
	}
	return block, nil
}

func readAttributes(printed map[string]printedAttribute) ([]*tfprotov6.SchemaAttribute, error) {
	var read []*tfprotov6.SchemaAttribute
	for _, name := range sorted(printed) {
		one, err := printed[name].read(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		read = append(read, one)
	}
	return read, nil
}

func (p printedAttribute) read(name string) (*tfprotov6.SchemaAttribute, error) {
	read := &tfprotov6.SchemaAttribute{
		Name: name, Description: p.Description, Required: p.Required, Optional: p.Optional,
		Computed: p.Computed, Sensitive: p.Sensitive, WriteOnly: p.WriteOnly,
	}
	if p.Nested == nil {
		kind, err := tftypes.ParseJSONType(p.Type) //nolint:staticcheck // The one reader of this form.
		read.Type = kind
		return read, err
	}
	nesting, known := map[string]tfprotov6.SchemaObjectNestingMode{
		"single": tfprotov6.SchemaObjectNestingModeSingle,
		"list":   tfprotov6.SchemaObjectNestingModeList,
		"set":    tfprotov6.SchemaObjectNestingModeSet,
		"map":    tfprotov6.SchemaObjectNestingModeMap,
	}[p.Nested.Nesting]
	if !known {
		return nil, fmt.Errorf("unknown nesting %q", p.Nested.Nesting)
	}
	attributes, err := readAttributes(p.Nested.Attributes)
	read.NestedType = &tfprotov6.SchemaObject{Attributes: attributes, Nesting: nesting}
	return read, err
}

func sorted[V any](values map[string]V) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
