package target

import (
	"fmt"
	"net/netip"
	"syscall"
)

// guard decides which addresses webhooks may reach.
type guard struct {
	private bool
	allowed []netip.Prefix
}

// forbiddenError says that a connection was not made, since its address is not public.
type forbiddenError struct{ addr netip.Addr }

func (e *forbiddenError) Error() string {
	return fmt.Sprintf("the address %s is not public, and this worker does not allow webhooks to it", e.addr)
}

// control is called by the dialer with the address that it is about to connect to, after name resolution.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("webhooks go to internet addresses, not to %q: %w", address, err)
	}
	return g.check(to.Addr())
}

func (g *guard) check(addr netip.Addr) error {
	// A zone would keep prefixes from matching, and ::ffff:127.0.0.1 is 127.0.0.1.
	plain := addr.Unmap().WithZone("")
	for _, p := range g.allowed {
		if p.Contains(plain) {
			return nil
		}
	}
	if g.private || public(plain) {
		return nil
	}
	return &forbiddenError{addr: addr}
}

// nat64 is the prefix under which an IPv6-only network reaches IPv4 addresses: the last four bytes (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// unicast is the only part of IPv6 that is assigned for global use.
var unicast = netip.MustParsePrefix("2000::/3")

// special are the addresses that the IANA registries of special-purpose addresses do not call globally reachable, and
// tunnels that lead to IPv4 addresses.
var special = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared by a carrier's customers
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, and with it the metadata services of clouds
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
	"2001::/23",       // protocol assignments, and Teredo
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4
	"3fff::/20",       // documentation
)

func public(addr netip.Addr) bool {
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if addr.Is6() && !unicast.Contains(addr) {
		return false // unspecified, loopback, unique local, link-local, multicast, IPv4-compatible, …
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return addr.IsValid()
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}
