package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
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
	// A HEAD has no body to say which it is that is not found.
	if hasCode(err, "NoSuchKey") || hasCode(err, "NotFound") {
		return o.fail(op, fs.ErrNotExist)
	}
	var api smithy.APIError
	var found *credentialsError
	text, mistake := "", false
	switch status := statusOf(err); {
	case errors.As(err, &found) && o.client.vended:
		text = "the catalog gives no key for the table's files: " + oneLine(found.cause.Error())
	case errors.As(err, &found):
		text = "no credentials are found: set s3.access_key_id and s3.secret_access_key, or what the AWS SDK reads (environment, ~/.aws, role of the machine): " + oneLine(found.cause.Error())
	case status >= http.StatusInternalServerError:
		text = fmt.Sprintf("%s is overloaded or broken (HTTP %d each time): try again later", o.client.endpoint, status)
	case errors.As(err, &api):
		text, mistake = o.advice(api.ErrorCode()), mistakes[api.ErrorCode()] && !o.client.vended
		if text == "" {
			text = fmt.Sprintf("%s answered %s (HTTP %d): %s", o.client.endpoint, api.ErrorCode(), status, oneLine(api.ErrorMessage()))
		}
	case status >= http.StatusBadRequest:
		text = fmt.Sprintf("%s answered HTTP %d, and not as S3 does: correct s3.endpoint", o.client.endpoint, status)
		mistake = true
	default:
		return o.fail(op, o.explainConnection(err))
	}
	return o.fail(op, &explained{text, err, mistake})
}

// mistakes are the codes that S3 gives for what somebody has to correct: who asks
// again as he is gets the same answer.
var mistakes = map[string]bool{
	"NoSuchBucket": true, "AccessDenied": true, "Forbidden": true, "AllAccessDisabled": true, "InvalidAccessKeyId": true,
	"XAdminUserNotFound": true, "SignatureDoesNotMatch": true, "PermanentRedirect": true, "MovedPermanently": true,
	"AuthorizationHeaderMalformed": true, "IllegalLocationConstraintException": true,
}

// advice says what an error code of S3 means and what to do about it.
func (o object) advice(code string) string {
	switch code {
	case "NoSuchBucket":
		return fmt.Sprintf("bucket %q does not exist at %s: make it, or correct the location", o.bucket, o.client.endpoint)
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		return fmt.Sprintf("%s denies access: allow these credentials s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on the objects and s3:ListBucket on bucket %q", o.client.endpoint, o.bucket)
	case "InvalidAccessKeyId", "XAdminUserNotFound":
		return fmt.Sprintf("%s does not know the access key id: correct it (s3.access_key_id, or the AWS defaults)", o.client.endpoint)
	case "SignatureDoesNotMatch":
		return "the secret access key does not belong to the access key id: correct it (s3.secret_access_key, or the AWS defaults)"
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return "the temporary credentials have expired: renew them"
	case "RequestTimeTooSkewed":
		return "the clock of this machine is wrong: set it"
	case "PermanentRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return fmt.Sprintf("bucket %q is in another region: correct s3.region", o.bucket)
	case "BadRequest": // all that a HEAD says of expired credentials, and of a wrong region
		return fmt.Sprintf("%s refuses the request: renew the credentials if they have expired, else correct s3.region", o.client.endpoint)
	case "PreconditionFailed":
		return errReplaced.Error()
	case "NoSuchUpload":
		return "somebody else ended the upload, perhaps a lifecycle rule: write the file again"
	case "SlowDown", "ServiceUnavailable", "InternalError": // of one object in a bulk request
		return fmt.Sprintf("%s is overloaded or broken (%s): try again later", o.client.endpoint, code)
	}
	return ""
}

// explainConnection is for requests that brought no answer of S3.
func (o object) explainConnection(err error) error {
	var dns *net.DNSError
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var request *url.Error
	text, mistake := "", false
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED):
		text = fmt.Sprintf("nothing answers at %s: start the object store, or correct s3.endpoint", o.client.endpoint)
	case errors.As(err, &dns):
		text = fmt.Sprintf("host %q is not known: correct s3.endpoint (a store without a host name per bucket wants s3.path_style: true)", dns.Name)
	case errors.As(err, &certificate) && errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		text = fmt.Sprintf("the certificate of %s is not valid: whoever runs the store must renew it, or the clock of this machine is wrong: %v", o.client.endpoint, certificate.Err)
	case errors.As(err, &certificate):
		mistake = true
		text = fmt.Sprintf("the certificate of %s is not trusted: name its authority's file in AWS_CA_BUNDLE, or correct s3.endpoint: %v", o.client.endpoint, certificate.Err)
	case errors.Is(err, http.ErrSchemeMismatch):
		mistake = true
		text = fmt.Sprintf("%s does not speak TLS: write http:// in s3.endpoint", o.client.endpoint)
	case errors.As(err, &timeout) && timeout.Timeout():
		text = fmt.Sprintf("%s did not answer in time: check the network, or try again later", o.client.endpoint)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		// Without its cause: a reader would take io.EOF for the end of the file.
		return fmt.Errorf("%s broke the connection each time: check the network, or try again later", o.client.endpoint)
	case errors.As(err, &request):
		text = fmt.Sprintf("%s cannot be reached (%v): check the network, or correct s3.endpoint", o.client.endpoint, request.Err)
	default:
		return err
	}
	return &explained{text, err, mistake}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// explained shows text for people and keeps the cause for errors.Is and As.
type explained struct {
	text    string
	cause   error
	mistake bool // of the configuration or of permissions, not of the world
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// ExitCode is 2 for usage or configuration, 1 for anything else.
func (e *explained) ExitCode() int {
	if e.mistake {
		return 2
	}
	return 1
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// fromCode makes the error of one object in the answer to a bulk request.
func fromCode(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// statusOf is the HTTP status of the answer that err is about, 0 if there was none.
func statusOf(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}
