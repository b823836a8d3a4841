package cluster

import (
	"errors"
	"fmt"
	"net"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const bridgeName = "lab0"

// layBridge brings up the admin host's end of the network: a bridge with its address.
func layBridge() error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("adding the bridge: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(adminIP), Mask: net.CIDRMask(networkBits, 32)}}
	return errors.Join(netlink.LinkSetUp(lo), netlink.AddrAdd(bridge, address), netlink.LinkSetUp(bridge))
}

// connect joins a node to the bridge: its eth0 has its address, and a default route to the admin host, which has a route
// to its pods.
func (n *Node) connect() error {
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: n.Name, MasterIndex: bridge.Attrs().Index},
		PeerName:  "eth0", PeerNamespace: netlink.NsPid(n.init.Process.Pid),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("connecting %s: %w", n.Name, err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return err
	}
	inside, err := n.inside()
	if err != nil {
		return err
	}
	defer inside.Close()
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(n.IP), Mask: net.CIDRMask(networkBits, 32)}}
	if err := errors.Join(inside.LinkSetUp(lo), inside.AddrAdd(eth0, address), inside.LinkSetUp(eth0)); err != nil {
		return err
	}
	if err := inside.RouteAdd(&netlink.Route{Gw: net.ParseIP(adminIP)}); err != nil {
		return fmt.Errorf("default route of %s: %w", n.Name, err)
	}
	return n.routeTo(netlink.RouteAdd)
}

// routeTo adds the route to the pods of n, by a function that adds routes somewhere.
func (n *Node) routeTo(add func(*netlink.Route) error) error {
	_, pods, err := net.ParseCIDR(n.podCIDR)
	if err != nil {
		return err
	}
	if err := add(&netlink.Route{Dst: pods, Gw: net.ParseIP(n.IP)}); err != nil {
		return fmt.Errorf("route to the pods of %s: %w", n.Name, err)
	}
	return nil
}

// inside is a handle on the network of the node, to be closed.
func (n *Node) inside() (*netlink.Handle, error) {
	space, err := netns.GetFromPid(n.init.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer space.Close()
	return netlink.NewHandleAt(space)
}

// introduce adds the route to the pods of other to n.
func (n *Node) introduce(other *Node) error {
	inside, err := n.inside()
	if err != nil {
		return err
	}
	defer inside.Close()
	return other.routeTo(inside.RouteAdd)
}

// Listen listens on an address of the node, as a process on it would.
func (n *Node) Listen(network, address string) (net.Listener, error) {
	space, err := netns.GetFromPid(n.init.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer space.Close()
	var l net.Listener
	done := make(chan error)
	go func() {
		// The thread belongs to the node from here on, and ends with this goroutine, since it is never unlocked.
		runtime.LockOSThread()
		err := netns.Set(space)
		if err == nil {
			l, err = net.Listen(network, address)
		}
		done <- err
	}()
	err = <-done
	return l, err
}
