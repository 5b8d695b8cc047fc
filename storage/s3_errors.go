package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// fail makes an error about one object.
func (o object) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: "s3://" + o.bucket + "/" + o.key, Err: err}
}

// explain turns an error of the SDK into one that says what to do; nil stays nil.
func (o object) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		// A HEAD has no body to say which it is that is not found.
		if code := api.ErrorCode(); code == "NoSuchKey" || code == "NotFound" {
			return o.fail(op, fs.ErrNotExist)
		}
		if text := o.advice(api.ErrorCode(), statusOf(err)); text != "" {
			return o.fail(op, &explained{text, err})
		}
		return o.fail(op, &explained{fmt.Sprintf("%s answered %s: %s", o.client.endpoint, api.ErrorCode(), api.ErrorMessage()), err})
	}
	return o.fail(op, o.explainConnection(err))
}

// advice says what an error code of S3 means and what to do about it.
func (o object) advice(code string, status int) string {
	switch code {
	case "NoSuchBucket":
		return fmt.Sprintf("bucket %q does not exist at %s: make it, or correct the location", o.bucket, o.client.endpoint)
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		return fmt.Sprintf("%s denies access: allow these credentials s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on the objects and s3:ListBucket on bucket %q", o.client.endpoint, o.bucket)
	case "InvalidAccessKeyId", "XAdminNoSuchUser":
		return fmt.Sprintf("%s does not know the access key id: correct it (s3.access_key_id, or the AWS defaults)", o.client.endpoint)
	case "SignatureDoesNotMatch":
		return "the secret access key does not belong to the access key id: correct it (s3.secret_access_key, or the AWS defaults)"
	case "ExpiredToken", "InvalidToken":
		return "the temporary credentials have expired: renew them"
	case "RequestTimeTooSkewed":
		return "the clock of this machine is wrong: set it"
	case "PermanentRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return fmt.Sprintf("bucket %q is in another region: correct s3.region", o.bucket)
	case "PreconditionFailed":
		return errReplaced.Error()
	case "EntityTooSmall":
		return "the parts of the upload are too small for this object store: use parts of 5 MiB or more"
	case "SlowDown", "ServiceUnavailable", "InternalError":
		return fmt.Sprintf("%s answered %s (HTTP %d) each time: try again later", o.client.endpoint, code, status)
	}
	return ""
}

// explainConnection is for requests that brought no answer of S3.
func (o object) explainConnection(err error) error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return &explained{fmt.Sprintf("nothing answers at %s: start the object store, or correct s3.endpoint", o.client.endpoint), err}
	case errors.As(err, &dns):
		return &explained{fmt.Sprintf("host %q is not known: correct s3.endpoint (a store without a host name per bucket wants s3.path_style: true)", dns.Name), err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &explained{fmt.Sprintf("%s did not answer in time: check the network, or try again later", o.client.endpoint), err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		// Without its cause: a reader would take io.EOF for the end of the file.
		return fmt.Errorf("%s broke the connection each time: check the network, or try again later", o.client.endpoint)
	}
	return err
}

// explained shows text for people and keeps the cause for errors.Is and As.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// fromCode makes the error of one object in the answer to a bulk request.
func fromCode(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

func statusOf(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return http.StatusOK
}
