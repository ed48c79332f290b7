// Health check: initiate the replica set where that has not been done, then ask for a primary.
const fs = require("fs");
const admin = db.getSiblingDB("admin");
admin.auth("root", fs.readFileSync("/run/ionloop/root_password", "utf8").trim());
if (!admin.hello().setName) {
  const host = `127.0.0.1:${process.env.IONLOOP_MONGO_PORT}`;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host }] });
}
quit(admin.hello().isWritablePrimary ? 0 : 1);
