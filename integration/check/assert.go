package check

import "testing"

// NoError reports an error without ending the test, as is needed outside of its own goroutine.
func NoError(t testing.TB, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// True reports what should have been true, without ending the test.
func True(t testing.TB, ok bool, format string, args ...any) bool {
	t.Helper()
	if !ok {
		t.Errorf(format, args...)
	}
	return ok
}
