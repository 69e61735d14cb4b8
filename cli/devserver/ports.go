package devserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// loopback is where everything listens unless it is told otherwise: nothing in this package asks for a password.
const loopback = "127.0.0.1"

// ErrPortInUse is what starting a server on a port that somebody else listens on ends with.
var ErrPortInUse = errors.New("port already in use")

// freePorts picks n different free ports of an IP. They are free when it looks, not reserved: see isPortInUse for the rest.
func freePorts(ip string, n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		// All listeners stay open until the last port is chosen, so that the ports differ.
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, fmt.Errorf("pick a free port on %s: %w", ip, err)
		}
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// checkPort says whether a fixed port can be listened on. The servers that take it afterwards report a port in use late and
// badly (Temporal panics half-way through its start, the Web UI ends the process), so it is asked first.
func checkPort(what, ip string, port int) error {
	address := net.JoinHostPort(ip, strconv.Itoa(port))
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener.Close()
	}
	if isPortInUse(err) {
		return portInUse(what, address)
	}
	return fmt.Errorf("%s: listen on %s: %w", what, address, err)
}

func portInUse(what, address string) error {
	return fmt.Errorf("%s: %s: %w: stop what listens there, or choose another port (0 picks a free one)",
		what, address, ErrPortInUse)
}

// isPortInUse recognises the loss of a race for a port that was free a moment ago.
func isPortInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, ErrPortInUse)
}

// checkIP accepts what the servers accept, and fills in the default.
func checkIP(what, ip string) (string, error) {
	if ip == "" {
		return loopback, nil
	}
	if _, err := netip.ParseAddr(ip); err != nil {
		return "", fmt.Errorf("%s: IP %q: want an IPv4 or IPv6 address such as %s: %w", what, ip, loopback, err)
	}
	return ip, nil
}

// dialable turns an address to listen on into one to connect to: a wildcard is no destination.
func dialable(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil || !address.IsUnspecified() {
		return ip
	}
	if address.Is6() {
		return "::1"
	}
	return loopback
}
