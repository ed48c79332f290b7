// Run once by the image, on an empty data folder: the two users of the campaign database.
// runner: launches and works (readWrite on this one database is enough for FireWorks, JobStore
// and GridFS). viewer: dashboards and notebooks.
const fs = require("fs");
const secret = (name) => fs.readFileSync(`/run/ionloop/${name}`, "utf8").trim();
const name = process.env.MONGO_INITDB_DATABASE;
const database = db.getSiblingDB(name);
for (const [user, role] of [["runner", "readWrite"], ["viewer", "read"]]) {
  database.createUser({ user, pwd: secret(`${user}_password`), roles: [{ role, db: name }] });
}
