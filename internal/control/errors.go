package control

import (
	"encoding/json"
	"errors"
	"net/http"

	"mxcluster/internal/fault"
)

// errorBody is an error on the wire, in the contract's shape.
type errorBody struct {
	Error *errorDetail `json:"error"`
}

type errorDetail struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}

// httpError is an error that HTTP has a better status for than its code's.
type httpError struct {
	status int
	err    error
}

func (e *httpError) Error() string { return e.err.Error() }
func (e *httpError) Unwrap() error { return e.err }

// httpStatus returns the HTTP status of an error. Our own client goes by the
// code in the body; the status is for curl and whoever else speaks HTTP.
func httpStatus(err error) int {
	var he *httpError
	if errors.As(err, &he) {
		return he.status
	}
	switch fault.CodeOf(err) {
	case fault.Usage:
		return http.StatusBadRequest
	case fault.NotPermitted:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Refused:
		return http.StatusPreconditionFailed
	case fault.Conflict:
		return http.StatusConflict
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.Busy:
		return http.StatusLocked
	case fault.Unreachable:
		return http.StatusBadGateway
	case fault.Unknown:
		return http.StatusGatewayTimeout
	case fault.Interrupted:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func encodeError(err error) []byte {
	body, err := json.Marshal(errorBody{&errorDetail{
		Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err),
	}})
	if err != nil { // an int and two strings always encode
		panic(err)
	}
	return body
}

// decodeError returns the error that the agent answered with, or nil when the
// body does not hold one.
func decodeError(body []byte) *fault.Error {
	var e errorBody
	if json.Unmarshal(body, &e) != nil || e.Error == nil || e.Error.Code == fault.OK {
		return nil
	}
	return &fault.Error{Code: e.Error.Code, Message: e.Error.Message, Hint: e.Error.Hint}
}
