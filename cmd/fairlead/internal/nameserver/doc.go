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
// Case does not matter (RFC 4343). A label stands for the service of that name in lower case, byte
// for byte (RFC 2181, section 11). A name with capital letters or dots, or with characters that
// some program does not allow in a host name, is written as "x--" and the name with each byte other
// than a-z and 0-9 as "-" and two hexadecimal digits: OrderService is x---4frder-53ervice. A
// service whose label would be longer than 63 bytes in both forms (RFC 1035, section 2.3.4) has no
// name in DNS. Selectors may contain dots, so that version 1.2.3 is 1.2.3.SERVICE; their labels may
// be written in the same way. Ids are not labels, so they may have any characters.
//
// # Records
//
// DNS shows an instance's first IPv4 address, first IPv6 address and first host name: the preferred
// one of each kind. IP addresses are A and AAAA records; host names are not resolved. If a name has
// only host names, a query for an address gets one of them as a CNAME, which must be alone (RFC
// 1034, section 3.6.2); beside IP addresses host names are left out. Resolvers that know the CNAME
// may use it for SRV too: clients that resolve through one should ask for _SERVICE._tcp. SRV has
// all addresses, see appendSRV; TXT describes each instance, see texts. Draining instances are in
// no answer, but their names exist, without data, until the instances are gone. Addresses that no
// other machine could use (unspecified ones, or with an IPv6 zone) are left out too.
//
// An address below in-addr.arpa or ip6.arpa has PTR records to its names in the services that are
// followed. Queries for other addresses are refused, as are all that are not below the domain.
//
// The domain itself has SOA and NS records, and the server's address if it listens on a single one.
//
// # When there is too much
//
// An answer that is larger than UDP and the client's EDNS0 allow has the TC bit set (RFC 2181,
// section 9), and the client asks again over TCP. If a service has so many instances that they do
// not fit into 64 kB, each answer holds another part of them.
//
// # When etcd is away
//
// Known instances stay in the answers, marked with the extended error "Stale Answer" (RFC 8914) for
// clients that use EDNS0. For a service that is not known the answer is SERVFAIL.
package nameserver
