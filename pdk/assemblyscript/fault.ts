/** The kinds of faults. */
export namespace Kind {
  /** The input breaks a schema or a rule; repeating it is useless. */
  export const invalid = "invalid";
  /** A right, a guard or a policy forbids it. */
  export const refused = "refused";
  /** The other side did not accept our credentials. */
  export const unauthorized = "unauthorized";
  /** What was asked for does not exist. */
  export const notFound = "not_found";
  /** The state changed, or exists already. */
  export const conflict = "conflict";
  /** A size limit was passed. */
  export const tooLarge = "too_large";
  /** The other side or a quota says: later. */
  export const rateLimited = "rate_limited";
  /** The other side could not be reached or is failing. */
  export const unavailable = "unavailable";
  /** A deadline passed. */
  export const timeout = "timeout";
  /** A limit of the guest's is used up. */
  export const limit = "limit";
  /** The action says that it did not succeed. */
  export const failed = "failed";
  /** A write may or may not have happened; a person must look. */
  export const inDoubt = "in_doubt";
  /** A defect of the host. */
  export const internal = "internal";
}

/** An error that says what it means for those who must deal with it. */
export class Fault {
  /** What a person can do about it. */
  hint: string = "";
  /** A place: a JSON path, or file:line:column. */
  where: string = "";
  /** The same call may succeed later. */
  retryable: bool = false;
  /** How many milliseconds the other side asked us to wait. */
  retryAfter: i64 = 0;

  /** Timeouts, rate limits and unavailability are retryable. */
  constructor(public kind: string, public message: string, hint: string = "") {
    this.hint = hint;
    this.retryable = kind == Kind.timeout || kind == Kind.rateLimited || kind == Kind.unavailable;
  }
}
