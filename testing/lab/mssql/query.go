package mssql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

func (k *conn) batch(body []byte) error {
	sql, err := parseBatch(body)
	if err != nil {
		return k.broken(err)
	}
	return k.query(Seen{SQL: sql}, tokDone)
}

func (k *conn) call(body []byte) error {
	c, err := parseCall(body)
	if err != nil {
		return k.broken(err)
	}
	seen := Seen{Procedure: c.procedure}
	if c.procedure == "sp_executesql" {
		if seen.SQL, seen.Params, err = c.statement(); err != nil {
			return k.broken(err)
		}
	} else { // the engine knows no procedure and says so
		seen.SQL = "EXEC [" + c.procedure + "]"
	}
	return k.query(seen, tokDoneProc)
}

// broken answers a request that cannot be understood, and ends the connection, as the server does.
func (k *conn) broken(cause error) error {
	var r reply
	r.err(&tsql.Error{Number: 8009, Class: 16, State: 3, Line: 1, Message: "The incoming tabular data stream (TDS) protocol stream is incorrect: " + cause.Error() + "."})
	r.done(tokDone, doneError, 0, 0)
	_, _ = k.net.Write(packets(packReply, r.b, k.packet))
	return errHangUp
}

// query runs seen's text, notes what came of it, and answers.
func (k *conn) query(seen Seen, last byte) error {
	seen.Time, seen.User = k.s.opts.Now(), k.session.User
	f, hit := k.s.fault("query", seen.SQL)
	var results []tsql.Result
	var fail *tsql.Error
	if hit {
		seen.Fault = f.Kind
	}
	if f.Kind == Raise {
		fail = f.raised()
	} else {
		results, fail = k.s.db.Run(k.session, seen.SQL, seen.Params)
	}
	for _, r := range results {
		seen.Rows += len(r.Rows)
	}
	if fail != nil {
		seen.Error, seen.Message = fail.Number, fail.Message
	}
	k.s.queries.Add(seen)
	if f.DelayMS > 0 {
		if cancelled, err := k.pause(rig.Milliseconds(f.DelayMS)); cancelled || err != nil {
			return err
		}
	}
	r := answer(results, fail, last)
	var after error
	err := send(k.net, r.b, k.packet, f, func() {
		_, after = k.pause(0)
	})
	if err == nil && after == nil && fail != nil && fail.Class >= 20 {
		return errHangUp
	}
	return errors.Join(err, after)
}

// answer writes results and error; last is the token that ends it.
func answer(results []tsql.Result, fail *tsql.Error, last byte) reply {
	var r reply
	each := last
	if last == tokDoneProc {
		each = tokDoneInProc
	}
	for i, res := range results {
		r.result(res)
		status := uint16(doneCount)
		if i+1 < len(results) || fail != nil || each != last {
			status |= doneMore
		}
		r.done(each, status, cmdSelect, len(res.Rows))
	}
	if fail != nil {
		r.err(fail)
	}
	switch {
	case last == tokDoneProc:
		status, code := uint16(0), uint32(0)
		if fail != nil {
			status, code = doneError, uint32(fail.Number)
		}
		r.u8(tokReturnStatus)
		r.u32(code)
		r.done(last, status, 0, 0)
	case fail != nil:
		r.done(last, doneError, 0, 0)
	case len(results) == 0:
		r.done(last, 0, 0, 0)
	}
	return r
}

// pause waits for d (0: for ever), or until the client cancels, which is then answered, or leaves, which is an error.
func (k *conn) pause(d time.Duration) (cancelled bool, err error) {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
		return false, nil
	case m, ok := <-k.incoming:
		if ok && m.kind == packAttention {
			return true, k.cancelled()
		}
		return false, errHangUp
	case <-k.ctx.Done():
		return false, errHangUp
	}
}

// cancelled acknowledges an attention signal.
func (k *conn) cancelled() error {
	var r reply
	r.done(tokDone, doneAttn, 0, 0)
	_, err := k.net.Write(packets(packReply, r.b, k.packet))
	return err
}

// The requests to the transaction manager ([MS-TDS] 2.2.6.9) that are known; readers need no more than that they are answered.
const (
	tranBegin    = 5
	tranCommit   = 7
	tranRollback = 8
)

func (k *conn) transaction(body []byte) error {
	in := reader{b: body}
	in.skipHeaders()
	kind := in.uint(2)
	if in.err != nil {
		return k.broken(in.err)
	}
	var r reply
	number := func() []byte { return binary.LittleEndian.AppendUint64(nil, k.tran) }
	switch kind {
	case tranBegin:
		k.tran++
		r.changedBytes(envBegin, number(), nil)
	case tranCommit:
		r.changedBytes(envCommit, nil, number())
	case tranRollback:
		r.changedBytes(envRollback, nil, number())
	default:
		return k.broken(fmt.Errorf("request %d to the transaction manager is not known here", kind))
	}
	r.done(tokDone, 0, 0, 0)
	_, err := k.net.Write(packets(packReply, r.b, k.packet))
	return err
}
