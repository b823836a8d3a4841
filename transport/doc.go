// Package transport is the contract between a 9P client and whatever carries
// its messages, and the two things every carrier needs: payload memory (Arena)
// and flow control (Window).
//
// A message's payload, the data of Twrite, Rread and Rreaddir, travels apart
// from its head, so that a transport can put the payload's own memory on the
// wire and have a reply's payload land where it is wanted. A transport knows
// that a reply's type is its request's plus one, that types 7 (Rlerror) and 107
// (Rerror, which may be longer than the head of a reply with a payload) are
// errors, and where a payload begins; what a message means is none of its
// business.
package transport
