# The images of `npm run images`, for those who have Docker. The same program collects the same files:
#   docker build --target proxy         -t weft.dev/proxy:0.1.0 .
#   docker build --target control-plane -t weft.dev/control-plane:0.1.0 .
#   docker build --target examples      -t weft.dev/examples:0.1.0 .
FROM debian:bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends \
    binutils ca-certificates curl iproute2 iptables libatomic1 nodejs npm
WORKDIR /weft
COPY . .
RUN npm run images -- control-plane proxy examples --rootfs --out /images

FROM scratch AS control-plane
COPY --from=build /images/control-plane /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/weft-control-plane"]
CMD ["discovery"]

FROM scratch AS examples
COPY --from=build /images/examples /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /usr/lib/weft/examples
USER 65534:65534
ENTRYPOINT ["node", "apps/src/main.ts"]

FROM scratch AS proxy
COPY --from=build /images/proxy /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MALLOC_ARENA_MAX=1
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/weft-proxy"]
CMD ["-c", "/etc/envoy/envoy.yaml"]
