package target

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.167.1.1",
		"223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8",
	} {
		require.NoError(t, (&guard{}).check(netip.MustParseAddr(text)), text)
	}
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "fc00::1", "fd12::1", "fe80::1",
		"fe80::1%eth0", "fec0::1", "ff02::1", "::ffff:10.0.0.1",
	} {
		addr := netip.MustParseAddr(text)
		err := (&guard{}).check(addr)
		var forbidden *forbiddenError
		require.ErrorAs(t, err, &forbidden, text)
		require.NoError(t, (&guard{private: true}).check(addr), text)
	}
	require.Error(t, (&guard{}).check(netip.Addr{}))
}

func TestGuardAllowsNetworks(t *testing.T) {
	t.Parallel()
	g := &guard{allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}}
	for text, ok := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "fd12::1": true, "fd12::1%eth0": true, "fc12::1": false,
		"8.8.8.8": true,
	} {
		require.Equal(t, ok, g.check(netip.MustParseAddr(text)) == nil, text)
	}
}

func TestGuardControl(t *testing.T) {
	t.Parallel()
	g := &guard{}
	require.NoError(t, g.control("tcp4", "8.8.8.8:443", nil))
	require.Error(t, g.control("tcp6", "[fe80::1%eth0]:80", nil))
	require.Error(t, g.control("unix", "/run/socket", nil))
}
