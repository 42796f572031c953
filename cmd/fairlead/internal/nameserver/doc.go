// Package nameserver answers DNS queries about services from the views of a
// discovery.Directory.
//
// # Names
//
// Below the server's domain there are these names, for services with instances only:
//
//	SERVICE            all instances
//	SELECTOR.SERVICE   those that have SELECTOR as their version, their zone or a tag; if it is
//	                   one instance's version and another's zone, both
//	_SERVICE._tcp      the SRV records of all instances (RFC 2782), and no others
//	ip-A.SERVICE       those at one address: ip-10-0-0-1, or all eight groups of an
//	                   IPv6 address, ip-2001-db8-0-0-0-0-0-1; targets of SRV records
//
// Case does not matter (RFC 4343). A label stands for the service of that name in lower
// case, byte for byte (RFC 2181, section 11). A name with capital letters or dots, or
// characters that a program does not let into a host name, is written as "x--" and the name
// with each byte other than a-z and 0-9 as "-" and two hexadecimal digits: OrderService is
// x---4frder-53ervice. A service whose label is longer than 63 bytes (RFC 1035, section
// 2.3.4) both ways cannot be asked for. Selectors may contain dots, so that version 1.2.3
// is 1.2.3.SERVICE; their labels may be written in the same way. Ids are no labels, and so
// may be anything.
//
// # Records
//
// Of an instance's addresses, DNS shows the first IPv4, the first IPv6 and the first host
// name: the preferred of its kind. A and AAAA are those that are IP addresses; host names
// are not resolved. Where there is nothing but host names, a query for an address gets one of
// them as a CNAME, since that cannot stand beside others (RFC 1034, section 3.6.2); beside IP
// addresses they are left out. Resolvers that know of the CNAME may use it for SRV too: through
// one, ask for _SERVICE._tcp. SRV has all of them, see appendSRV; TXT describes each instance, see
// texts. Draining instances are in no answer, but their names exist, without data, until
// they are gone. Instances with addresses that nobody else could use (unspecified, with an
// IPv6 zone) are left out too.
//
// An address below in-addr.arpa or ip6.arpa has PTR records to its names in the services that are
// followed. Of others nothing is said: they are refused, as all that is not below the domain.
//
// The domain itself has SOA and NS, and the server's address if it listens on one.
//
// # When there is too much
//
// An answer that exceeds what UDP and the client's EDNS0 allow has the TC bit set (RFC 2181,
// section 9), and is had over TCP. A service with so many instances that 64 kB cannot hold
// them is shown in part, another part with each answer.
//
// # When etcd is away
//
// What was known stays in the answers, marked with the extended error "Stale Answer"
// (RFC 8914) for clients that use EDNS0. SERVFAIL is the answer for services that nothing is
// known about.
package nameserver
