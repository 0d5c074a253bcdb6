from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="deny-policy",
    target_kind="tier",
    action="deny_pods",
    undo="allow_pods",
    does="Let an admission policy refuse every new pod of a tier, as a policy that is enforced too soon does.",
    cause="a security policy that went from audit to enforce, a webhook with a bad certificate and failurePolicy Fail",
    source="https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/",
    visible="the pods that run are as before; what ends is not replaced, and its workload tells of FailedCreate",
    undone="the policy is deleted",
    proof="the API server refuses to try a pod like the tier's; gone when it takes one",
)
