// Package ninep speaks 9P2000.L, and 9P2000.u and 9P2000 with those who know no better: the messages, their encoding, and a client.
//
// The codec (messages.go, codec.go, dirent.go) serves both ends. It keeps a message's payload, the data of
// Twrite, Rread and Rreaddir, apart from its head: [Append] writes the head only, with the payload counted in
// size[4], so that a transport can send the payload from where it lies.
//
// The client is a [Session], one negotiated conversation with a server that outlives its connection, and the
// [Fid]s that come of it. Payload memory always belongs to the caller: it is lent to the transport for the time
// of one call and comes back when the call is complete, never on a mere time-out.
//
// The protocol is that of https://github.com/chaos/diod/blob/master/protocol.md, with the numbers of Linux's
// include/net/9p/9p.h.
package ninep
