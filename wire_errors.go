package carillon

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// DecodeInput reads an operation's JSON input. It fails with ErrInvalidArgument on what does not fit, and on fields
// that the input has none of: a misspelt one must not be lost.
func DecodeInput(data []byte, input any) error { return strictJSON(data, input) }

// jsonError makes ErrInvalidArgument of what encoding/json says, naming the field where it is known.
func jsonError(err error) error {
	var ours *Error
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &kind):
		return InvalidArgument(kind.Field, "a JSON %s does not fit here", kind.Value)
	default:
		return InvalidArgument("", "this is not the JSON that belongs here: %w", err)
	}
}

// inputError is jsonError for data that was to be read into v. encoding/json does not always say which field it means,
// so the field is looked for.
func inputError(data []byte, v any, err error) error {
	if !json.Valid(data) {
		return InvalidArgument("", "this is not JSON: %w", err)
	}
	field, found := findMisfit(data, reflect.TypeOf(v).Elem())
	if found == nil {
		return jsonError(err)
	}
	var ours *Error
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(found, &ours) && field != "":
		c := *ours
		c.Field = field
		return &c
	case errors.As(found, &ours):
		return ours
	case errors.As(found, &kind):
		return InvalidArgument(field, "a JSON %s does not fit here", kind.Value)
	case errors.As(found, new(*time.ParseError)), strings.HasPrefix(found.Error(), "Time.UnmarshalJSON"):
		return InvalidArgument(field, "it is no time; write one like \"2030-01-02T15:04:05.678Z\"")
	default:
		return InvalidArgument(field, "%w", found)
	}
}

var errNoField = errors.New("there is no such field")

// findMisfit finds the first part of a JSON value that does not fit a type: its path and what is wrong with it.
func findMisfit(data []byte, t reflect.Type) (path string, err error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	whole := func() (string, error) { return "", json.Unmarshal(data, reflect.New(t).Interface()) }
	if readsItself(t) || string(data) == "null" {
		return whole()
	}
	switch t.Kind() {
	case reflect.Struct:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			return "", err
		}
		fields := jsonFields(t)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			field, known := fields[strings.ToLower(name)]
			if !known {
				return clip(name), errNoField
			}
			if path, err := findMisfit(members[name], field); err != nil {
				return joinPath(name, path), err
			}
		}
		return "", nil
	case reflect.Map:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			return "", err
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if path, err := findMisfit(members[name], t.Elem()); err != nil {
				return joinPath(clip(name), path), err
			}
		}
		return "", nil
	case reflect.Slice:
		var items []json.RawMessage
		if err := json.Unmarshal(data, &items); err != nil {
			return "", err
		}
		for i, item := range items {
			if path, err := findMisfit(item, t.Elem()); err != nil {
				return joinPath(fmt.Sprintf("[%d]", i), path), err
			}
		}
		return "", nil
	default:
		return whole()
	}
}

func joinPath(name, path string) string {
	if path == "" || path[0] == '[' {
		return name + path
	}
	return name + "." + path
}

// readsItself says whether a type has a JSON form of its own.
func readsItself(t reflect.Type) bool {
	switch reflect.New(t).Interface().(type) {
	case json.Unmarshaler, interface{ UnmarshalText([]byte) error }:
		return true
	}
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// jsonFields are the fields of a struct by their names in lower case, with those of embedded ones.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(out, jsonFields(f.Type))
		case !f.IsExported() || name == "-":
		case name == "":
			out[strings.ToLower(f.Name)] = f.Type
		default:
			out[strings.ToLower(name)] = f.Type
		}
	}
	return out
}
