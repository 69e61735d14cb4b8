//go:build !faultpoints

package fault

// At passes a point with the result of what lies before it, and gives that result back. With the tag faultpoints, the plan
// may have something else happen.
func At(_ Point, err error) error { return err }
