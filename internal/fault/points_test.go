package fault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/internal/fault"
)

// Points lists each constant once, and each of them says what a crash there leaves.
func TestPointsListsEachConstant(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, parser.ParseComments)
	require.NoError(t, err)
	var declared []fault.Point
	ast.Inspect(file, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is {
			return true
		}
		literal, is := spec.Values[0].(*ast.BasicLit)
		require.True(t, is, spec.Names[0].Name)
		value, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		require.Contains(t, spec.Doc.Text(), "between", "%s says what lies on either side", spec.Names[0].Name)
		declared = append(declared, fault.Point(value))
		return true
	})
	require.NotEmpty(t, declared)
	require.ElementsMatch(t, declared, fault.Points())
}
